"""stage=withdraw: takes an arm or a run out of a study's comparisons, for a reason, in the open."""

from pathlib import Path

from kvdistill.cli.common import JobOverrides, compose_study_config, console, find_study_folder
from kvdistill.plan.labels.withdrawal import withdraw_runs


def withdraw_command(job_overrides: JobOverrides, _: Path) -> None:
    """Withdraws what `label=` or `run=` names. Raises ConfigError where the study lacks it."""
    for overrides in job_overrides:
        config = compose_study_config([overrides])
        study = find_study_folder(config)
        label, run = (None if config[key] is None else str(config[key]) for key in ("label", "run"))
        for entry in withdraw_runs(
            Path(config["root"]), study, str(config["reason"]).strip(), label=label, run=run
        ):
            place = f"question {entry.question}" if entry.question else "the references"
            console.print(
                f"withdrawn from {place}: {entry.name} ({', '.join(set(entry.runs.values()))}): "
                f"{entry.reason}",
                soft_wrap=True,
            )
        console.print(
            f"Every folder stays. python launch.py stage=report study={study.name} rebuilds the "
            f"report, which names what was withdrawn.",
            soft_wrap=True,
        )
