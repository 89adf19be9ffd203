"""What else a score could have been called."""

from kvdistill.report.sections import robustness
from tests.report.small_studies import make_run, make_scores, make_study, read_row


def test_weightings_stand_side_by_side():
    divided = make_scores("bbh", 0.5, by_subject=0.3, normalised=0.2, subjects=2)
    plain = make_scores("gsm8k", 0.1, by_subject=0.1, normalised=0.1)
    records, _ = make_study(make_run("base", divided, plain))
    row = read_row(robustness.tabulate_weightings(records, records.distinct_arms()), "base")
    assert (row["average"], row["by subject"], row["above chance"]) == (
        "30.0",
        "20.0",
        "15.0",
    )
    assert (row["BBH by item"], row["BBH by subject"]) == ("50.0", "30.0")
    assert "GSM8K by item" not in row
    above = read_row(robustness.tabulate_above_chance(records, records.distinct_arms()), "base")
    assert (above["BBH"], above["GSM8K"], above["average"]) == ("20.0", "10.0", "15.0")


def test_where_nothing_is_finished_there_is_no_table() -> None:
    lost = make_run("base", make_scores("bbh", 0.5), state="failed", error="out of memory")
    records, _ = make_study(lost)
    arms = records.distinct_arms()
    assert robustness.tabulate_weightings(records, arms).rows == []
    assert robustness.tabulate_above_chance(records, arms).rows == []


def test_gap_and_spread_are_in_points():
    arms = make_study(
        make_run("a", make_scores("g", 1.0), generalisation={"gap": 0.125, "spread": 0.2})
    )[0].distinct_arms()
    row = read_row(robustness.tabulate_generalisation(arms), "a")
    assert row["train/test gap, points"] == "+12.5"
    assert row["SD over tasks, points"] == "20.0"
