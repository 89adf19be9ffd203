"""A tuning holds one set of trials: what a command plans otherwise is refused before any runs."""

import pytest

from kvdistill.errors import ConfigError
from kvdistill.plan.tuning.merge import merge_tunings
from kvdistill.plan.tuning.record import Tuning
from tests.plan.tuning.trials import choose_all, make_trial, make_tuning

PLANNED = make_tuning(kv=[make_trial(1), make_trial(2)])
CHOSEN = choose_all(make_tuning(kv=[make_trial(1, (1, 0), (1, 0)), make_trial(2, (2, 0), (2, 0))]))


def test_the_same_trials_keep_the_choice_that_was_made() -> None:
    assert merge_tunings({"q": CHOSEN}, {"q": PLANNED}) == {"q": CHOSEN}


def test_an_arm_that_is_new_joins_its_question() -> None:
    more = make_tuning(kv=PLANNED.arms["kv"].trials, sft=[make_trial(1, label="sft")])
    merged = merge_tunings({"q": CHOSEN}, {"q": more})["q"]
    assert merged.arms["kv"] == CHOSEN.arms["kv"]
    assert list(merged.arms) == ["kv", "sft"]


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (make_tuning(kv=[make_trial(1), make_trial(3)]), "trial 2 was train.lr=0.002 and is train"),
        (make_tuning(kv=[make_trial(1)]), "2 there and 1 here"),
        (
            make_tuning(kv=[make_trial(1), make_trial(2, label="x")]),
            "the settings that its trials have",
        ),
        (make_tuning("accuracy", kv=PLANNED.arms["kv"].trials), "tune.measure was ce when"),
    ],
)
@pytest.mark.parametrize("known", [PLANNED, CHOSEN])
def test_other_trials_are_refused_with_the_way_out(
    known: Tuning, new: Tuning, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        merge_tunings({"q": known}, {"q": new})
    assert message in str(caught.value)
    assert "another study=NAME" in str(caught.value)
