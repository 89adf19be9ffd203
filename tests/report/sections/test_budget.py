"""What each arm trained on and cost, beside the others."""

import pytest

from kvdistill.report.sections import budget
from tests.report.small_studies import make_run, make_scores, make_study, read_row


def test_size_and_speed_stand_against_the_raw_student():
    raw = make_run(
        "raw_student",
        make_scores("g", 0.0),
        efficiency={"parameters": 200, "tokens_per_second": 50},
    )
    arm = make_run(
        "sft", make_scores("g", 0.0), efficiency={"parameters": 200, "tokens_per_second": 45.0}
    )
    row = read_row(budget.tabulate_efficiency(make_study(raw, arm)[0].distinct_arms()), "sft")
    assert row["parameters, % of raw"] == "100.0"
    assert row["tokens/s, % of raw"] == "90.0"
    alone = budget.tabulate_efficiency(make_study(arm)[0].distinct_arms())
    assert not [column for column in alone.columns if "raw" in column]


def make_budgeted_study(*rows):
    keys = ("label", "seed", "steps", "planned_tokens", "real_tokens", "train_s")
    records, _ = make_study(make_run("a", make_scores("g", 0.0)))
    records.budgets = [{"arms": [dict(zip(keys, row, strict=True)) for row in rows]}]
    return records


def test_real_tokens_are_compared_within_a_seed_and_time_not_at_all():
    rows = [("sft", 1, 40, 960, 900, 5.0), ("kv", 1, 40, 960, 900, 50.0)]
    more = [("sft", 2, 40, 960, 800, 5.0), ("kv", 2, 40, 960, 800, 50.0)]
    records = make_budgeted_study(*rows, *more)
    marks = {value.mark for row in budget.tabulate_budgets(records).rows for value in row}
    assert marks == {""}


def test_other_texts_have_tokens_of_their_own():
    rows = [("cot", 1, 40, 960, 900, 5.0), ("direct", 1, 40, 960, 600, 5.0)]
    records = make_budgeted_study(*rows)
    assert {value.mark for row in budget.tabulate_budgets(records).rows for value in row} == {
        "",
        "bad",
    }
    for node, texts in zip(records.budgets[0]["arms"], ("worked", "bare"), strict=True):
        node["texts"] = texts
    assert {value.mark for row in budget.tabulate_budgets(records).rows for value in row} == {""}


@pytest.mark.parametrize(
    ("longer", "named"),
    [(("kv", 1, 41, 960, 900, 5.0), "steps"), (("kv", 1, 40, 960, 920, 5.0), "real_tokens")],
)
def test_what_an_arm_trained_longer_is_marked(longer, named):
    records = make_budgeted_study(("sft", 1, 40, 960, 900, 5.0), longer)
    marked = {
        column
        for row in budget.tabulate_budgets(records).rows
        for column, value in zip(budget.tabulate_budgets(records).columns, row, strict=True)
        if value.mark == "bad"
    }
    assert marked == {named}
