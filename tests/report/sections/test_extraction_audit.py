"""Whether a result hangs on the extractor, and what else a score could have been called."""

from pathlib import Path

import pytest

from kvdistill.report.sections import extraction_audit, robustness, score_tables
from kvdistill.stats.analysis import answer
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, Question, Run, Scores, Study


def make_scores(task, score, alternative=None, **more):
    more = {"unparsed": 0.0, "truncated": 0.0, "empty": 0.0, **more}
    return Scores(
        task=task, metric="m", score=score, chance=0.0, n=4, alternative=alternative, **more
    )


def make_run(label, *task_scores, **more):
    return Run(
        identity=label, folder=Path(label), arm=label, seed=0, trained=False,
        scores={scores.task: scores for scores in task_scores}, **more,
    )  # fmt: skip


def make_study(*runs):
    arms = {r.arm: Arm(label=r.arm, runs={0: r}) for r in runs}
    question = Question(name="q", text="?", arms=arms)
    tasks = list(runs[0].scores)
    records = Study(
        name="s", folders=[], tasks=tasks, questions={"q": question},
        runs={r.identity: r for r in runs}, references={},
    )  # fmt: skip
    return records, answer(records, question, Settings(resamples=999))


def read_row(grid, *key):
    (row,) = [r for r in grid.rows if tuple(v.text for v in r[: len(key)]) == key]
    return dict(zip(grid.columns, (v.text for v in row), strict=True))


@pytest.mark.parametrize(
    ("ours", "theirs", "depends"),
    [
        ((0.5, 0.5), (0.25, 0.25), False),
        ((0.5, 0.25), (0.25, 0.5), True),
        ((0.5, 0.25), (0.25, 0.25), True),  # a gain under one reading is a tie under the other
        ((0.25, 0.25), (0.25, 0.25), False),
    ],
)
def test_a_sign_depends_on_the_extractor_when_the_two_disagree(ours, theirs, depends):
    records, analysis = make_study(
        make_run("base", make_scores("g", *theirs)), make_run("arm", make_scores("g", *ours))
    )
    grid = extraction_audit.tabulate_by_task(analysis, records.tasks)
    shown = read_row(grid, "arm", "g")["difference under both"]
    assert shown.endswith("depends") is depends
    assert f"; {int(depends)} signs" in grid.caption


def test_letters_have_no_second_reading_and_the_baseline_no_difference():
    base, arm = (
        make_run("base", make_scores("c", 0.5)),
        make_run("arm", make_scores("c", 0.75, unparsed=0.25)),
    )
    grid = extraction_audit.tabulate_by_task(make_study(base, arm)[1], ["c"])
    assert read_row(grid, "arm", "c")["other extractor"] == "\u2014"
    assert read_row(grid, "arm", "c")["difference under both"] == "\u2014"
    assert read_row(grid, "arm", "c")["no answer found"] == "25.0 %"
    assert read_row(grid, "base", "c")["difference under both"] == "\u2014"


def test_an_arm_that_lacks_a_task_is_named_and_averaged_over_nothing():
    records, _ = make_study(
        make_run("base", make_scores("g", 0.5), make_scores("h", 0.5)),
        make_run("arm", make_scores("g", 1.0, truncated=1.0)),
    )
    assert (
        "missing"
        in read_row(extraction_audit.tabulate_by_arm(records, records.arms()), "arm")[
            "no answer found"
        ]
    )
    weights = robustness.tabulate_weightings(records, records.arms())
    assert read_row(weights, "arm")["average"] == "\u2014"
    assert read_row(weights, "base")["average"] == "50.0"


def test_weightings_stand_side_by_side():
    divided = make_scores("bbh", 0.5, by_subject=0.3, normalised=0.2, subjects=2)
    plain = make_scores("gsm8k", 0.1, by_subject=0.1, normalised=0.1)
    records, _ = make_study(make_run("base", divided, plain))
    row = read_row(robustness.tabulate_weightings(records, records.arms()), "base")
    assert (row["average"], row["by subject"], row["above chance"]) == (
        "30.0",
        "20.0",
        "15.0",
    )
    assert (row["BBH by item"], row["BBH by subject"]) == ("50.0", "30.0")
    assert "GSM8K by item" not in row
    above = read_row(robustness.tabulate_above_chance(records, records.arms()), "base")
    assert (above["BBH"], above["GSM8K"], above["average"]) == ("20.0", "10.0", "15.0")


def test_gap_and_spread_are_in_points():
    arms = make_study(
        make_run("a", make_scores("g", 1.0), generalisation={"gap": 0.125, "spread": 0.2})
    )[0].arms()
    row = read_row(robustness.tabulate_generalisation(arms), "a")
    assert row["train/test gap, points"] == "+12.5"
    assert row["SD over tasks, points"] == "20.0"


def test_size_and_speed_stand_against_the_raw_student():
    raw = make_run(
        "raw_student",
        make_scores("g", 0.0),
        efficiency={"parameters": 200, "tokens_per_second": 50},
    )
    arm = make_run(
        "sft", make_scores("g", 0.0), efficiency={"parameters": 200, "tokens_per_second": 45.0}
    )
    row = read_row(score_tables.tabulate_efficiency(make_study(raw, arm)[0].arms()), "sft")
    assert row["parameters, % of raw"] == "100.0"
    assert row["tokens/s, % of raw"] == "90.0"
    alone = score_tables.tabulate_efficiency(make_study(arm)[0].arms())
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
    marks = {value.mark for row in score_tables.tabulate_budgets(records).rows for value in row}
    assert marks == {""}


def test_other_texts_have_tokens_of_their_own():
    rows = [("cot", 1, 40, 960, 900, 5.0), ("direct", 1, 40, 960, 600, 5.0)]
    records = make_budgeted_study(*rows)
    assert {value.mark for row in score_tables.tabulate_budgets(records).rows for value in row} == {
        "",
        "bad",
    }
    for node, texts in zip(records.budgets[0]["arms"], ("worked", "bare"), strict=True):
        node["texts"] = texts
    assert {value.mark for row in score_tables.tabulate_budgets(records).rows for value in row} == {
        ""
    }


@pytest.mark.parametrize(
    ("longer", "named"),
    [(("kv", 1, 41, 960, 900, 5.0), "steps"), (("kv", 1, 40, 960, 920, 5.0), "real_tokens")],
)
def test_what_an_arm_trained_longer_is_marked(longer, named):
    records = make_budgeted_study(("sft", 1, 40, 960, 900, 5.0), longer)
    marked = {
        column
        for row in score_tables.tabulate_budgets(records).rows
        for column, value in zip(score_tables.tabulate_budgets(records).columns, row, strict=True)
        if value.mark == "bad"
    }
    assert marked == {named}
