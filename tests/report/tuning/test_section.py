"""The page's section on a tuning: every trial, the winners, and the curve of best-so-far."""

from pathlib import Path

import numpy as np
import pytest

from kvdistill.plan.tuning.record import Trial, TunedArm
from kvdistill.report.build import build_report
from kvdistill.report.tuning.best_so_far import compute_best_so_far
from kvdistill.report.tuning.section import build_tuning_section, list_edges
from kvdistill.stats.load import load_study
from tests.report.small_studies import read_row
from tests.stats.audit.records import write_study
from tests.stats.audit.tuned import write_tuned_study


@pytest.mark.usefixtures("undrawn")
@pytest.mark.integration
def test_the_page_has_trials_winners_and_figure(tmp_path: Path) -> None:
    study = write_tuned_study(tmp_path)
    page = build_report([study], study / "report").read_text()
    assert '<section id="tuning">' in page
    assert '<a href="#tuning">' in page
    assert "Every arm had 2 trials of its training, each with the tuning seeds 1, 2" in page
    assert "other seeds did: 42, 43, 44." in page
    for name in ("q_tuning.csv", "q_trials.csv", "q_best_so_far.csv"):
        assert (study / "report/tables" / name).is_file()
    assert (study / "report/figures/q_best_so_far.svg").is_file()


@pytest.mark.usefixtures("undrawn")
@pytest.mark.integration
def test_a_study_that_tuned_nothing_has_no_such_section(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    page = build_report([study], study / "report").read_text()
    assert 'id="tuning"' not in page
    assert "#tuning" not in page


def test_the_winner_is_set_beside_the_spread_of_its_trials(tmp_path: Path) -> None:
    question = load_study([write_tuned_study(tmp_path)]).questions["q"]
    section = build_tuning_section(question, {})
    sft = read_row(section.winners, "sft")
    assert sft["chosen"] == "train.lr=0.001"
    assert sft["winner"] == "0.3100"
    assert sft["best of the others"] == "0.4000"
    assert sft["SD over trials"] == f"{np.std([0.31, 0.4], ddof=1):.4f}"
    kv = read_row(section.winners, "kv")
    assert (kv["trials"], kv["diverged"], kv["best of the others"]) == ("2", "1", "\u2014")


def test_every_trial_stands_with_each_seed_and_the_best_so_far(tmp_path: Path) -> None:
    question = load_study([write_tuned_study(tmp_path)]).questions["q"]
    trials = build_tuning_section(question, {}).trials
    assert len(trials.rows) == 4
    first = read_row(trials, "sft", "1")
    assert (first["seed 1"], first["seed 2"], first["mean"]) == ("0.3000", "0.3200", "0.3100")
    assert first["chosen"] == "chosen"
    second = read_row(trials, "sft", "2")
    assert (second["mean"], second["best so far"], second["chosen"]) == ("0.4000", "0.3100", "")
    lost = read_row(trials, "kv", "2")
    assert (lost["seed 1"], lost["mean"], lost["best so far"]) == ("diverged", "\u2014", "0.3000")


@pytest.mark.parametrize(
    ("rate", "edges"),
    [(1e-3, ["the smallest train.lr=0.001"]), (2e-3, []), (4e-3, ["the largest train.lr=0.004"])],
)
def test_a_winner_at_the_edge_of_what_was_tried_is_said_to_be(
    rate: float, edges: list[str]
) -> None:
    rates = [1e-3, 2e-3, 4e-3]
    trials = [Trial({"train.lr": each, "loss.kv_weight": 1.0}, {}) for each in rates]
    assert [*list_edges(TunedArm("sft", trials, winner=rates.index(rate)))] == edges
    # Of two values one always lies at an edge.
    assert not [*list_edges(TunedArm("sft", trials[:2], winner=0))]


def test_the_best_so_far_only_ever_gets_better() -> None:
    numbers = np.array([np.nan, 3.0, 5.0, 2.0])
    lowest = compute_best_so_far(numbers, rising=False)
    highest = compute_best_so_far(numbers, rising=True)
    np.testing.assert_array_equal(lowest, [np.nan, 3.0, 3.0, 2.0])
    np.testing.assert_array_equal(highest, [np.nan, 3.0, 5.0, 5.0])
