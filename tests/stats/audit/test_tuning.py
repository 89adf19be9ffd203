"""How many variants each arm was tried in: each trial of a tuning once, others as before."""

from pathlib import Path

from kvdistill.history import append_event, read_history
from kvdistill.stats.arm_differences import list_tuning
from kvdistill.stats.audit.tuning import count_trials, list_unequal_tuning
from kvdistill.stats.load import load_study
from tests.stats.audit.tuned import edit_plan, write_tuned_study

BY_HAND = {"question": "x", "arm": "kv", "varied": {}, "trials": 3, "seeds": [42]}


def test_every_trial_counts_once_whichever_studies_ask_for_it(tmp_path: Path) -> None:
    write_tuned_study(tmp_path)
    assert count_trials(read_history(tmp_path)) == {"sft": 2, "kv": 2}
    again = read_history(tmp_path).select("s", "tuned")[0].facts
    append_event(tmp_path, "other", "tuned", **again)
    assert count_trials(read_history(tmp_path)) == {"sft": 2, "kv": 2}


def test_arms_that_were_tuned_alike_may_be_compared(tmp_path: Path) -> None:
    study = load_study([write_tuned_study(tmp_path)])
    arms = study.questions["q"].arms
    assert [arm.trials for arm in arms.values()] == [2, 2]
    assert list_tuning(arms["kv"], arms["sft"], []) == []
    assert list(list_unequal_tuning(study)) == []


def test_an_arm_with_fewer_trials_may_not(tmp_path: Path) -> None:
    study = write_tuned_study(tmp_path)
    edit_plan(study, lambda tuning: tuning["arms"]["sft"]["trials"].pop())
    records = load_study([study])
    arms = records.questions["q"].arms
    (difference,) = list_tuning(arms["kv"], arms["sft"], [])
    assert (difference.values, difference.declared) == (("1", "2"), False)
    assert len(list(list_unequal_tuning(records))) == 1


def test_what_was_tried_by_hand_counts_beside_the_trials(tmp_path: Path) -> None:
    append_event(tmp_path, "before", "tuned", **BY_HAND)
    study = load_study([write_tuned_study(tmp_path)])
    arms = study.questions["q"].arms
    assert {label: arm.trials for label, arm in arms.items()} == {"sft": 2, "kv": 5}
