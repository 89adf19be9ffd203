"""stage=doctor: the check list before a study starts. Computes nothing."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from kvdistill.cli.checks import access_checks, plan_checks
from kvdistill.cli.checks.plan_checks import Finding
from kvdistill.cli.common import JobOverrides, console, print_sources
from kvdistill.errors import UserError
from kvdistill.plan.expand import expand_command
from kvdistill.stats.claims.names import check_claim_names

NOT_OF_A_BASELINE = ("arm=", "sweep=", "seed=", "teachers=", "fusion=", "baseline=")


def doctor_command(job_overrides: JobOverrides, sweeps: Path) -> None:
    """Prints a line a check. Raises UserError, so that the exit code says it, if one failed.

    A setting that is refused outright is raised as ever: there is no plan to examine.
    """
    plan = expand_command(job_overrides, sweeps)
    check_claim_names(plan)
    print_sources(plan)
    rest = [item for item in job_overrides[0] if not item.startswith(NOT_OF_A_BASELINE)]
    findings = [
        *plan_checks.check_baselines(rest, sweeps),
        *plan_checks.check_arm_builds(plan),
        *plan_checks.check_seeds(plan),
        *access_checks.check_tasks(plan),
        *access_checks.check_sources(plan),
        *access_checks.check_weights(plan),
        *access_checks.check_tokenizers(plan),
        *access_checks.check_cluster_access(plan),
        *plan_checks.check_disk(plan.root, plan),
        *plan_checks.check_caches(),
        *plan_checks.check_figures(),
    ]
    console.print(tabulate_findings(findings))
    if failed := [item for item in findings if item.mend]:
        raise UserError(f"{len(failed)} of {len(findings)} checks found a problem.")


def tabulate_findings(findings: Sequence[Finding]) -> Table:
    """A row a finding."""
    table = Table("check", "", "what was found", "how to mend it", title="before the study starts")
    for item in findings:
        state = Text("problem", "red") if item.mend else Text("ok", "green")
        table.add_row(item.check, state, item.found, item.mend)
    return table
