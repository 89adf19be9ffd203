"""What a newcomer is shown, and what the shell completes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def launch_help(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "launch.py", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": "src", **environment},
    )  # fmt: skip
    return done.stdout


@pytest.mark.integration
def test_help_names_every_group_choice_and_question() -> None:
    shown = launch_help("--help")
    for path in (ROOT / "conf").rglob("*.yaml"):
        group = path.parent.relative_to(ROOT / "conf").parts
        if group and group[0] not in {"teacher", "hydra"}:
            assert f" {path.stem} " in shown, path
    for path in (ROOT / "sweeps").glob("*.yaml"):
        assert f" {path.stem} " in shown, path
    assert "seed        42" not in shown
    assert "hydra" not in shown.lower()


def test_every_group_is_described_and_its_default_marked() -> None:
    from kvdistill.cli import help

    groups = help.read_groups(ROOT / "conf")
    folders = {path.name for path in (ROOT / "conf").iterdir() if path.is_dir()} - {"teacher"}
    assert {group for group in groups if "/" not in group} == folders
    for group, (default, description) in groups.items():
        assert (ROOT / "conf" / group / f"{default}.yaml").is_file(), group
        assert description or "/" in group, group
    assert groups["layers/map"][0] == "proportional"


@pytest.mark.integration
def test_every_command_of_the_help_is_one_that_works() -> None:
    """Composes what each asks for; stages that need a study are only looked up."""
    from hydra import initialize_config_dir

    from kvdistill.cli.help import COMMANDS
    from kvdistill.cli.main import STAGES
    from kvdistill.config.compose import compose

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for command in COMMANDS:
            words = [word for word in command.split()[2:] if word != "-m"]
            first = [word.split(",")[0] for word in words if not word.startswith("sweep=")]
            assert compose(first)["stage"] in STAGES, command


@pytest.mark.integration
@pytest.mark.parametrize(
    ("typed", "offered"),
    [("fusion=", "fusion=learnable"), ("compression=ke", "compression=keep_last"),
     ("scale=", "scale=paper"), ("teach", "teachers="), ("stage=pub", "stage=publish"),
     ("sweep=tuned", "sweep=tuned_miniature")],
)  # fmt: skip
def test_the_shell_completes_groups_and_choices(typed: str, offered: str) -> None:
    line = f"python launch.py {typed}"
    shown = launch_help("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert offered in shown.split()


def test_the_key_stage_names_every_command() -> None:
    from kvdistill.cli import help
    from kvdistill.cli.main import STAGES

    assert dict(help.read_keys(ROOT / "conf"))["stage"].split(", ") == list(STAGES)
