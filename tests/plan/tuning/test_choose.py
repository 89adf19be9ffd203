"""The rule of a choice: a function of what the trials measured, ties and divergence included."""

import pytest

from kvdistill.errors import UserError
from kvdistill.plan.tuning.choose import average_measure, choose_trial, find_winner
from tests.plan.tuning.trials import make_trial, make_tuning


def test_the_lowest_mean_over_the_tuning_seeds_wins() -> None:
    # The second has the lowest single value, and not the lowest mean.
    trials = [make_trial(1, (0.4, 0), (0.4, 0)), make_trial(2, (0.1, 0), (0.9, 0)),
              make_trial(3, (0.39, 0), (0.39, 0))]  # fmt: skip
    assert find_winner(trials, "ce") == 2
    assert average_measure(trials[1], "ce") == pytest.approx(0.5)


def test_the_highest_share_of_exact_answers_wins_and_cross_entropy_parts_equal_ones() -> None:
    trials = [make_trial(1, (0.3, 0.5), (0.3, 0.5)), make_trial(2, (0.9, 0.8), (0.9, 0.6)),
              make_trial(3, (0.2, 0.7), (0.2, 0.7))]  # fmt: skip
    assert find_winner(trials, "accuracy") == 2
    assert find_winner(trials[:2], "accuracy") == 1


@pytest.mark.parametrize("measure", ["ce", "accuracy"])
def test_of_equal_trials_the_one_that_was_drawn_first_wins(measure: str) -> None:
    trials = [make_trial(number, (0.3, 0.5), (0.3, 0.5)) for number in (5, 1, 3)]
    assert find_winner(trials, measure) == 0


@pytest.mark.parametrize("measure", ["ce", "accuracy"])
def test_a_trial_that_diverged_with_one_seed_never_wins(measure: str) -> None:
    trials = [make_trial(1, (0.1, 1.0), None), make_trial(2, (9.0, 0.0), (9.0, 0.0))]
    assert find_winner(trials, measure) == 1
    assert average_measure(trials[0], "ce") is None


def test_a_trial_of_which_a_seed_is_still_to_come_has_no_mean() -> None:
    assert average_measure(make_trial(1, (0.1, 0.0)), "ce") is None


def test_where_all_diverged_nothing_is_chosen() -> None:
    trials = [make_trial(1, None, None), make_trial(2, None, (0.1, 0.0))]
    with pytest.raises(UserError, match="kv: all 2 trials diverged, so none can win"):
        choose_trial(make_tuning(kv=trials), "kv", trials)


def test_a_choice_is_sealed_with_all_that_led_to_it() -> None:
    trials = [make_trial(1, (0.2, 0.0), (0.2, 0.0)), make_trial(2, (0.3, 0.0), (0.3, 0.0))]
    tuning = make_tuning(kv=trials)
    arm = choose_trial(tuning, "kv", trials)
    assert arm.chosen == {"train.lr": 0.001}
    assert arm.sha256 == tuning.hash_arm(arm)
    worse = [make_trial(1, (0.2, 0.0), (0.2, 0.0)), make_trial(2, (0.4, 0.0), (0.3, 0.0))]
    assert choose_trial(tuning, "kv", worse).sha256 != arm.sha256
