"""A finished study of two arms that were tuned before they were confirmed, on disk."""

from pathlib import Path
from typing import Any

from kvdistill.files import read_json, write_json
from kvdistill.history import append_event
from kvdistill.manifest import write_manifest
from kvdistill.plan.study_plan import RunEntry, StudyPlan
from kvdistill.stats.audit.tuning import list_tuned_arms
from tests.plan.tuning.trials import choose_all, make_trial, make_tuning
from tests.stats.audit.records import record_plan, write_study

TRIALS = {
    "sft": [((0.30, 0.5), (0.32, 0.5)), ((0.40, 0.5), (0.40, 0.5))],
    "kv": [((0.29, 0.5), (0.31, 0.5)), (None, (0.20, 0.5))],
}
"""Arm -> each trial's (ce, exact_match) with seeds 1 and 2; the second of kv diverged with one. The
first of each wins, with the rate that the confirming runs have."""


def write_tuned_study(root: Path, **more: Any) -> Path:
    """Tuned, chosen, planned and confirmed, in that order and all on record."""
    study = write_study(root, **more)
    trials = {
        label: [make_trial(n, *pairs, label=label) for n, pairs in enumerate(each, start=1)]
        for label, each in TRIALS.items()
    }
    tuning = choose_all(make_tuning(**trials))
    plan = StudyPlan.read(study)
    for label, arm in tuning.arms.items():
        for trial in arm.trials:
            for seed, identity in trial.runs.items():
                plan.trials[identity] = write_trial(root, label, seed, identity, trial)
    plan.tunings["q"] = tuning
    plan.write(study)
    for facts in list_tuned_arms(plan.tunings):
        append_event(root, study.name, "tuned", **facts)
    for label, arm in tuning.arms.items():
        facts = {"question": "q", "label": label, "settings": arm.chosen, "sha256": arm.sha256}
        append_event(root, study.name, "chosen", **facts)
    record_plan(study)
    return study


def write_trial(root: Path, label: str, seed: str, identity: str, trial: Any) -> RunEntry:
    """The manifest of one run of a trial, and its entry in plan.json."""
    folder = f"runs/s/trials/trial{seed}-{identity}"
    (root / folder).mkdir(parents=True)
    facts = {"measured": trial.measured[seed]}
    write_manifest(root / folder, "trial", {"split": "split-0"}, facts)
    return RunEntry(folder, label, int(seed), f"trial of {label}", trained=True, steps=3)


def edit_plan(study: Path, edit: Any) -> None:
    """Changes plan.json by hand; `edit` takes the tuning of q as JSON has it."""
    node = read_json(study / "plan.json")
    edit(node["tunings"]["q"])
    write_json(study / "plan.json", node)
