"""stage=report: rebuilds the report of a study, or of several joined, from what lies on disk."""

from pathlib import Path

from kvdistill.cli.common import JobOverrides, console, find_study_folder
from kvdistill.config.compose import compose
from kvdistill.errors import ConfigError
from kvdistill.plan.study_plan import StudyPlan


def report_command(job_overrides: JobOverrides, _: Path) -> None:
    """Writes the report. Raises ConfigError where no study, or no finished run, is named."""
    # pandas and matplotlib are slow to import, and the other stages need neither.
    from kvdistill.report.compare_runs import make_comparison
    from kvdistill.report.study_report import write_study_report

    config = compose(list(job_overrides[0]))
    named = config["study"] if isinstance(config["study"], list) else [config["study"]]
    if config["report"]["runs"]:
        names = list(map(str, config["report"]["runs"]))
        studies = [make_comparison(Path(config["root"]), names)]
    else:
        studies = [find_study_folder({**config, "study": name}) for name in dict.fromkeys(named)]
    if not studies:
        raise ConfigError("study=[] names no study. Give at least one, as in study=[A,B].")
    for study in studies:
        if not StudyPlan.read(study).questions:
            raise ConfigError(
                f"study={study.name} has planned trials and no run yet, so there is nothing to "
                f"report. Repeat the sweep's own command, which chooses the winners and confirms "
                f"them; stage=status shows the trials."
            )
    output = config["report"]["output"]
    write_study_report(
        Path(config["root"]), studies[0], config["stats"], console,
        also=studies[1:], output=None if output is None else Path(output),
    )  # fmt: skip
