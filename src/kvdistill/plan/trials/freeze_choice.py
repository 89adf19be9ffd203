"""From the manifests of a tuning's trials to the winners that plan.json holds."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from kvdistill import layout
from kvdistill.errors import ArtifactError
from kvdistill.files import read_sealed
from kvdistill.history import append_event, read_history
from kvdistill.plan.study_plan import StudyPlan
from kvdistill.plan.tuning.choose import choose_trial
from kvdistill.plan.tuning.record import Measured, Trial, TunedArm, Tuning


def freeze_choices(root: Path, study: str, tunings: Mapping[str, Tuning]) -> dict[str, Tuning]:
    """Chooses the winner of every arm whose trials have all ended, and writes it into plan.json.

    An arm that has one keeps it: the same trials give the same choice, and a choice is recorded
    before it stands in the plan, so that a command that is killed in between leaves no other.

    Returns:
        The tunings of these questions as the study has them now.

    Raises:
        ArtifactError: for a trial without a manifest, or with one that is altered.
        UserError: where every trial of an arm diverged.
    """
    folder = layout.study_folder(root, study)
    with FileLock(folder / layout.PLAN_LOCK):
        plan = StudyPlan.read(folder)
        for question in tunings:
            tuning = plan.tunings[question]
            for label, arm in tuning.arms.items():
                if arm.winner is None and label in tunings[question].arms:
                    measured = [measure_trial(root, plan, trial) for trial in arm.trials]
                    chosen = choose_trial(tuning, label, measured)
                    record_choice(root, study, question, label, chosen)
                    tuning.arms[label] = chosen
        plan.write(folder)
    return {question: plan.tunings[question] for question in tunings}


def measure_trial(root: Path, plan: StudyPlan, trial: Trial) -> Trial:
    """The trial with what its manifests say."""
    measured = {
        seed: read_measured(root / plan.trials[identity].folder)
        for seed, identity in trial.runs.items()
    }
    return replace(trial, measured=measured)


def read_measured(folder: Path) -> Measured:
    """What a finished trial measured; None where it diverged.

    Raises ArtifactError for a folder that holds no trial, or one that read test rows.
    """
    manifest = read_sealed(folder / layout.MANIFEST)
    if manifest["kind"] != layout.TRIAL or layout.ITEMS in manifest["files"]:
        raise ArtifactError(f"{folder} holds scores, so it is no trial. Delete it and repeat.")
    measured = manifest["measured"]
    return None if measured is None else {key: measured[key] for key in ("ce", "exact_match")}


def record_choice(root: Path, study: str, question: str, label: str, arm: TunedArm) -> None:
    """Appends a choice to the root's record, unless it stands there."""
    facts = {
        "question": question, "label": label, "settings": arm.chosen, "sha256": arm.sha256,
    }  # fmt: skip
    if all(event.facts != facts for event in read_history(root).select(study, "chosen")):
        append_event(root, study, "chosen", **facts)
