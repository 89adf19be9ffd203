"""Which runs a command asks for: each override list, through its sweep if it names one."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvdistill.config.check_cluster import read_resources
from kvdistill.plan.labels.contradictions import check_overrides
from kvdistill.plan.requests.baseline import BASELINE, list_baseline_overrides
from kvdistill.plan.sweep import Sweep, read_sweep, unfold_sweeps
from kvdistill.plan.tuning.design import (
    TuneDesign,
    check_seeds_apart,
    check_tuned_overrides,
    read_design,
)

UNVARIED = {
    "seed", "study", "stage", "root", "sweep", "run", "status", "label", "reason", "code", "smoke",
    BASELINE,
}  # fmt: skip
"""Keys that do not make a label."""
OF_COMMAND = ("seed", "sweep", BASELINE)
"""Those that say which runs there are, and nothing of any one of them."""


@dataclass(frozen=True)
class Request:
    """One run that a command asks for, before its config is composed."""

    question: str
    sweep: Sweep | None
    arm: str
    """The sweep's own label, which its claims name; empty without a sweep, but of a baseline."""
    moved: str
    """What `-m` varies, as it stands on the command line."""
    overrides: Sequence[str]
    """Without seed and sweep."""
    seed: Any
    """None: the config's own."""
    resources: Mapping[str, Any]
    fixed: Sequence[str] = ()
    """Of the overrides, those of the sweep's own arm and point."""
    point: str = ""
    """What of `arm` names the point of the axes."""
    design: TuneDesign | None = None
    """How the sweep's arms are tuned, where they are."""
    is_baseline: bool = False
    """Whether the others of its question are compared with it, as the command says."""

    @property
    def label(self) -> str:
        """What the tables call the arm; empty where a single command varies nothing."""
        return f"{self.arm} {self.moved}".strip()


def read_requests(job_overrides: Sequence[Sequence[str]], sweeps: Path) -> Iterator[Request]:
    """Every run that the override lists ask for, in order."""
    varied = [key for key in find_varied_keys(job_overrides) if key not in UNVARIED]
    question = "+".join(varied) or "runs"
    for arm, given, chosen in list_baseline_overrides(job_overrides, varied):
        yield Request(
            question, None, arm, "", overrides=chosen, seed=parse_seed(given), resources={},
            is_baseline=True,
        )  # fmt: skip
    for overrides in job_overrides:
        given = dict(item.split("=", 1) for item in overrides if "=" in item)
        rest = [item for item in overrides if item.split("=", 1)[0] not in OF_COMMAND]
        moved = " ".join(f"{k.lstrip('+~')}={given[k]}" for k in varied if k in given)
        seed = parse_seed(given)
        names = [name.strip() for name in given.get("sweep", "null").strip("[]").split(",")]
        if names in (["null"], [""]):
            yield Request(question, None, "", moved, overrides=rest, seed=seed, resources={})
            continue
        for sweep in (read_sweep(each, sweeps) for each in unfold_sweeps(names, sweeps)):
            check_overrides(sweep, rest)
            design = read_design(sweep)
            if design is not None:
                check_tuned_overrides(design, sweep.name, rest)
                check_seeds_apart(design, sweep.name, sweep.seeds if seed is None else [seed])
            for arm, label, fixed in sweep.runs():
                resources = read_arm_resources(sweep, arm)
                for each in sweep.seeds if seed is None else [seed]:
                    yield Request(
                        sweep.name, sweep, label, moved, overrides=[*fixed, *rest], seed=each,
                        resources=resources, fixed=fixed, point=label.removeprefix(arm),
                        design=design,
                    )  # fmt: skip


def read_arm_resources(sweep: Sweep, arm: str) -> Mapping[str, Any]:
    """What the arm asks of SLURM. Raises ConfigError naming a wrong key."""
    if arm not in sweep.resources:
        return {}
    return read_resources(sweep.resources[arm], f"sweep={sweep.name}: resources.{arm}")


def parse_seed(overrides: Mapping[str, str]) -> Any:
    """The command line's seed as YAML would read it; the schema refuses what is no number."""
    text = overrides.get("seed")
    if text is None:
        return None
    return int(text) if text.lstrip("-").isdigit() else text


def find_varied_keys(job_overrides: Sequence[Sequence[str]]) -> list[str]:
    """Override keys whose value is not the same in every list, in order of appearance."""
    counts: dict[str, Counter[str]] = {}
    for overrides in job_overrides:
        for item in overrides:
            key, _, value = item.partition("=")
            counts.setdefault(key, Counter())[value] += 1
    jobs = len(job_overrides)
    return [key for key, values in counts.items() if max(values.values()) < jobs]
