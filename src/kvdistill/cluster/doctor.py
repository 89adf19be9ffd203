"""stage=doctor: the check list before a study starts (STUDY.md G.2). Computes nothing."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kvdistill.cluster import checkup, reach
from kvdistill.cluster.checkup import Finding
from kvdistill.errors import UserError
from kvdistill.plan.expand import expand

NOT_OF_A_BASELINE = ("arm=", "sweep=", "seed=", "teachers=", "fusion=")


def run(job_overrides: Sequence[Sequence[str]], sweeps: Path, console: Console) -> None:
    """Prints a line a check. Raises UserError, so that the exit code says it, if one failed.

    A setting that is refused outright is raised as ever: there is no plan to examine.
    """
    plan = expand(job_overrides, sweeps)
    rest = [item for item in job_overrides[0] if not item.startswith(NOT_OF_A_BASELINE)]
    findings = [
        *checkup.baselines(rest, sweeps),
        *checkup.arms(plan),
        *checkup.seeds(plan),
        *reach.tasks(plan),
        *reach.weights(plan),
        *reach.tokenizers(plan),
        *reach.cluster(plan),
        *checkup.paths(plan.root, plan),
        *checkup.figures(),
    ]
    console.print(table(findings))
    if failed := [item for item in findings if item.mend]:
        raise UserError(f"{len(failed)} of {len(findings)} checks found a problem.")


def table(findings: Sequence[Finding]) -> Table:
    """A row a finding."""
    shown = Table("check", "", "what was found", "how to mend it", title="before the study starts")
    for item in findings:
        state = Text("problem", "red") if item.mend else Text("ok", "green")
        shown.add_row(item.check, state, item.found, item.mend)
    return shown
