"""What `python launch.py --help` prints: commands, groups with their choices, and questions.

Read from the YAML themselves: a choice is described by its file's first line, a group and a plain
key by the comment beside it in conf/config.yaml.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from kvdistill.cli.guide.group_help import describe_group

COMMANDS = {
    "python launch.py": "one run of the default arm: minutes on a CPU",
    "python launch.py -m fusion=fixed,learnable seed=42,43,44 baseline=sft": "nine runs, compared",
    "python launch.py sweep=baselines": "a question of sweeps/; sweep=everything: all of them",
    "python launch.py sweep=tuned_miniature": "equal trials of each arm first, then their winners",
    "python launch.py stage=tune sweep=NAME": "the trials alone: what wins, and nothing scored",
    "python launch.py sweep=ablation_layers cluster=slurm scale=paper": "on a cluster, full size",
    "python launch.py stage=plan sweep=matrix scale=paper": "what it would cost; computes nothing",
    "python launch.py stage=doctor sweep=matrix": "is everything ready to start?",
    "python launch.py stage=adopt model=PATH role=teacher name=NAME": "a model of yours, described",
    "python launch.py stage=smoke sweep=matrix scale=paper": "20 steps of each arm: go or no go",
    "python launch.py stage=status study=NAME": "where a study stands",
    "python launch.py stage=why study=NAME run=ID": "which settings make this run new",
    "python launch.py stage=retry study=NAME": "only what failed",
    "python launch.py stage=withdraw study=NAME label=ARM reason=WHY": "compares it no more",
    "python launch.py stage=report study=NAME": "the report, rebuilt",
    "python launch.py stage=publish publish.run=ID": "a run's student as a folder for the hub",
}


def help_text(home: Path) -> str:
    """The whole page; `home` holds conf/ and sweeps/."""
    wide = max(map(len, COMMANDS))
    lines = [
        "kvdistill: several teachers teach one student by their attention keys and values.",
        "",
    ]
    lines += [f"  {command:{wide}}  {said}" for command, said in COMMANDS.items()]
    lines += ["", "Settings: group=choice, or group.key=value for one setting (* is the default)."]
    for group, (default, said) in read_groups(home / "conf").items():
        lines += ["", f"{group}: {said}" if said else group]
        lines += describe_choices(home / "conf" / group, default)
    lines += ["", "Keys:"]
    lines += [f"  {key:11} {said}" for key, said in read_keys(home / "conf")]
    lines += ["", "Questions (sweep=NAME):"]
    lines += describe_choices(home / "sweeps", "")
    return "\n".join(lines) + "\n"


def describe_group_page(home: Path, group: str) -> str:
    """What `--help GROUP` prints. Raises ConfigError for what is no group."""
    default, description = read_groups(home / "conf").get(group, ("", ""))
    return describe_group(home / "conf", group, default, description)


def read_groups(conf: Path) -> dict[str, tuple[str, str]]:
    """Group -> (default choice, its comment), subgroups after the group that holds them."""
    descriptions: dict[str, tuple[str, str]] = {}
    pattern = r"^  - ([\w/]+): (\w+)(?:  # (.*))?$"
    for group, default, comment in re.findall(
        pattern, (conf / "config.yaml").read_text("utf-8"), re.M
    ):
        descriptions[group] = (default, comment)
        for inner in sorted(path for path in (conf / group).iterdir() if path.is_dir()):
            chosen = yaml.safe_load((conf / group / f"{default}.yaml").read_text("utf-8"))
            below = {k: v for item in chosen.get("defaults", []) if isinstance(item, dict)
                     for k, v in item.items()}  # fmt: skip
            descriptions[f"{group}/{inner.name}"] = (below.get(inner.name, ""), "")
    return descriptions


def describe_choices(folder: Path, default: str) -> Iterator[str]:
    """A line a file: its name and its first sentence."""
    for path in sorted(folder.glob("*.yaml")):
        first, second, *_ = [*path.read_text("utf-8").splitlines(), ""]
        sentence = (second if first.startswith("# @package") else first).removeprefix("# ")
        mark = "*" if path.stem == default else " "
        yield f"  {mark} {path.stem:22} {sentence}"


def read_keys(conf: Path) -> Iterator[tuple[str, str]]:
    """The plain keys of config.yaml with their comments."""
    yield from re.findall(r"^(\w+): \S+  # (.*)$", (conf / "config.yaml").read_text("utf-8"), re.M)
