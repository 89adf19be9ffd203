"""A tuning is held against its trials, its rule and the record: what was edited is named."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.history import History
from kvdistill.manifest import write_manifest
from kvdistill.stats.audit.tuning_choice import list_tuning_faults
from kvdistill.stats.load import load_study
from tests.stats.audit.tuned import edit_plan, write_tuned_study


def list_faults(study: Path) -> list[str]:
    return list(list_tuning_faults(load_study([study])))


def test_a_tuning_that_is_as_it_was_recorded_has_no_fault(tmp_path: Path) -> None:
    assert list_faults(write_tuned_study(tmp_path)) == []


def take_loser(tuning: dict[str, Any]) -> None:
    tuning["arms"]["sft"]["winner"] = 1


def better_value(tuning: dict[str, Any]) -> None:
    tuning["arms"]["sft"]["trials"][1]["measured"]["1"]["ce"] = 0.1


@pytest.mark.parametrize(
    ("edit", "messages"),
    [
        (
            take_loser,
            [
                "edited after it was frozen",
                "was given train.lr=0.002, where the rule takes",
            ],
        ),
        (better_value, ["edited after it was frozen", "its manifest measured {'ce': 0.4"]),
    ],
)
def test_an_edited_choice_is_named(tmp_path: Path, edit: Any, messages: list[str]) -> None:
    study = write_tuned_study(tmp_path)
    edit_plan(study, edit)
    faults = list_faults(study)
    for message in messages:
        assert any(message in fault for fault in faults), faults
    assert all(fault.startswith("q: sft ") for fault in faults)


def test_a_choice_that_is_sealed_anew_is_not_the_recorded_one(tmp_path: Path) -> None:
    from dataclasses import replace

    from kvdistill.plan.study_plan import StudyPlan

    study = write_tuned_study(tmp_path)
    plan = StudyPlan.read(study)
    tuning = plan.tunings["q"]
    other = replace(tuning.arms["sft"], winner=1)
    tuning.arms["sft"] = replace(other, sha256=tuning.hash_arm(other))
    plan.write(study)
    assert "q: sft has a choice that the root's record does not know" in list_faults(study)


def test_a_trial_that_is_gone_or_has_scores_is_named(tmp_path: Path) -> None:
    import shutil

    study = write_tuned_study(tmp_path)
    gone, scored = (
        tmp_path / "runs/s/trials/trial1-kv-2-1",
        tmp_path / "runs/s/trials/trial2-kv-2-2",
    )
    shutil.rmtree(gone)
    (scored / "items.parquet").write_bytes(b"")
    write_manifest(scored, "trial", {}, {"measured": {"ce": 0.31, "exact_match": 0.5}})
    assert list_faults(study) == [
        "q: kv trial 2, seed 1: its folder is gone, so what it measured cannot be checked",
        "q: kv trial 2, seed 2: it has read test rows, which a trial never does",
    ]


def test_a_confirmation_that_was_planned_before_its_choice_is_named(tmp_path: Path) -> None:
    study = load_study([write_tuned_study(tmp_path)])
    events = [
        event for event in study.history.events
        if event.event != "chosen" or event.facts["label"] != "kv"
    ]  # fmt: skip
    (late,) = [event for event in study.history.events if event not in events]
    from dataclasses import replace

    study.history = History([*events, replace(late, index=99)])
    assert list(list_tuning_faults(study)) == [
        "q: kv was planned to be confirmed before its choice was made"
    ]


def test_a_confirming_seed_that_chose_is_named(tmp_path: Path) -> None:
    study = write_tuned_study(tmp_path, seeds=(1, 43, 44))
    assert "q: sft is confirmed by seeds that chose it: 1" in list_faults(study)


def test_other_settings_than_those_chosen_are_named(tmp_path: Path) -> None:
    study = load_study([write_tuned_study(tmp_path)])
    for run in study.questions["q"].arms["kv"].runs.values():
        run.config = {"train": {"lr": 0.5}}
    assert list(list_tuning_faults(study)) == [
        "q: kv is confirmed with train.lr=0.5, where 0.001 was chosen"
    ]


def test_an_arm_that_nothing_was_chosen_for_is_named(tmp_path: Path) -> None:
    study = write_tuned_study(tmp_path)
    edit_plan(study, lambda tuning: tuning["arms"]["kv"].update(winner=None))
    assert list_faults(study) == ["q: kv stands in a tuned question and has no winner"]
