"""Whether a question was tuned as it says: its choice against trials, rule and record."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.config.schema import lookup_path
from kvdistill.errors import UserError
from kvdistill.files import read_json, read_sealed
from kvdistill.history import History
from kvdistill.plan.sweep import read_setting_path
from kvdistill.plan.tuning.choose import find_winner
from kvdistill.plan.tuning.draw import describe_point
from kvdistill.plan.tuning.record import TunedArm, Tuning
from kvdistill.stats.study import Arm, QuestionRecords, Study

UNSET = object()


def list_tuning_faults(study: Study) -> Iterator[str]:
    """A sentence for everything of a tuning that is not as it was recorded, or as it should be."""
    for question in study.questions.values():
        if question.tuning is not None:
            for label, arm in question.tuning.arms.items():
                where = f"{question.name}: {label}"
                for fault in list_arm_faults(study, question, label, arm):
                    yield f"{where} {fault}"


def list_arm_faults(
    study: Study, question: QuestionRecords, label: str, arm: TunedArm
) -> Iterator[str]:
    """What is wrong with one arm's tuning, without its name."""
    tuning = question.tuning
    assert tuning is not None
    if arm.winner is None:
        yield "stands in a tuned question and has no winner"
        return
    if tuning.hash_arm(arm) != arm.sha256:
        yield "has a choice in plan.json that was edited after it was frozen"
    best = find_winner(arm.trials, tuning.design["measure"])
    if best != arm.winner:
        better = describe_point(arm.trials[best].settings) if best is not None else "none"
        yield f"was given {describe_point(arm.chosen or {})}, where the rule takes {better}"
    yield from compare_manifests(study, arm)
    yield from compare_record(study, question, label, arm)
    if label in question.arms:
        yield from compare_confirmation(question.arms[label], tuning, arm)


def compare_manifests(study: Study, arm: TunedArm) -> Iterator[str]:
    """Trials whose own manifest measured otherwise than the choice says, or is gone."""
    folders: dict[str, Path] = {}
    for folder in study.folders:
        entries = read_json(folder / layout.PLAN).get("trials") or {}
        root = folder.resolve().parent.parent
        folders |= {identity: root / entry["folder"] for identity, entry in entries.items()}
    for number, trial in enumerate(arm.trials, start=1):
        for seed, identity in trial.runs.items():
            if fault := compare_manifest(folders.get(identity), trial.measured.get(seed)):
                yield f"trial {number}, seed {seed}: {fault}"


def compare_manifest(folder: Path | None, recorded: Mapping[str, float] | None) -> str:
    """Why a trial's folder does not bear out what is recorded of it; empty where it does."""
    if folder is None or not (folder / layout.MANIFEST).is_file():
        return "its folder is gone, so what it measured cannot be checked"
    try:
        manifest = read_sealed(folder / layout.MANIFEST)
    except UserError as error:
        return str(error)
    if layout.ITEMS in manifest["files"] or "validation" in manifest["needs"]:
        return "it has read test rows, which a trial never does"
    measured = manifest.get("measured")
    same = {key: measured[key] for key in recorded} if measured and recorded else measured
    return "" if same == recorded else f"its manifest measured {measured}, the choice {recorded}"


def compare_record(
    study: Study, question: QuestionRecords, label: str, arm: TunedArm
) -> Iterator[str]:
    """A choice that the root's record does not have, or has only after it was confirmed."""
    for folder in study.folders:
        name = question.name.removeprefix(f"{folder.name}: ")
        planned = find_first(study.history, folder.name, "planned", name, label, {})
        chosen = find_first(
            study.history, folder.name, "chosen", name, label, {"sha256": arm.sha256}
        )
        if planned is None:
            continue
        if chosen is None:
            yield "has a choice that the root's record does not know"
        elif chosen > planned:
            yield "was planned to be confirmed before its choice was made"


def find_first(
    history: History, study: str, event: str, question: str, label: str, facts: Mapping[str, Any]
) -> int | None:
    """The line of the first such event about a question's arm; None where there is none."""
    for each in history.select(study, event):
        arms = (each.facts.get("questions") or {}).get(question, {}).get("arms", {})
        own = each.facts.get("question") == question and each.facts.get("label") == label
        if (label in arms or own) and facts.items() <= each.facts.items():
            return each.index
    return None


def compare_confirmation(arm: Arm, tuning: Tuning, tuned: TunedArm) -> Iterator[str]:
    """Confirming runs with a seed of the tuning, or with other settings than those chosen."""
    if common := sorted({*arm.runs} & {int(seed) for seed in tuning.design["seeds"]}):
        yield f"is confirmed by seeds that chose it: {', '.join(map(str, common))}"
    for run in arm.runs.values():
        for key, value in (tuned.chosen or {}).items():
            actual = read_setting(run.config, key)
            if run.config and actual is not UNSET and actual != value:
                yield f"is confirmed with {key}={actual}, where {value} was chosen"
                return


def read_setting(config: Mapping[str, Any], key: str) -> Any:
    """What a config has for an override's key: a group's choice, or a value; UNSET without one."""
    choices = config.get("choices") or {}
    if key in choices:
        return choices[key]
    try:
        return lookup_path(config, read_setting_path(key))
    except (KeyError, TypeError):
        return UNSET
