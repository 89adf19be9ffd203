"""Whether a result hangs on the extractor, and what else a score could have been called."""

from pathlib import Path

import pytest

from kvdistill.report.sections import extraction_audit, robustness, score_tables
from kvdistill.stats.analysis import answer
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, Question, Run, Scores, Study


def scores(task, score, alternative=None, **more):
    more = {"unparsed": 0.0, "truncated": 0.0, "empty": 0.0, **more}
    return Scores(
        task=task, metric="m", score=score, chance=0.0, n=4, alternative=alternative, **more
    )


def run(label, *found, **more):
    return Run(
        identity=label, folder=Path(label), arm=label, seed=0, trained=False,
        scores={one.task: one for one in found}, **more,
    )  # fmt: skip


def study(*runs):
    arms = {r.arm: Arm(label=r.arm, runs={0: r}) for r in runs}
    question = Question(name="q", text="?", arms=arms)
    tasks = list(runs[0].scores)
    whole = Study(
        name="s", folders=[], tasks=tasks, questions={"q": question},
        runs={r.identity: r for r in runs}, references={},
    )  # fmt: skip
    return whole, answer(whole, question, Settings(resamples=999))


def cells(grid, *key):
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
    whole, analysis = study(run("base", scores("g", *theirs)), run("arm", scores("g", *ours)))
    grid = extraction_audit.by_task(analysis, whole.tasks)
    shown = cells(grid, "arm", "g")["difference under both"]
    assert shown.endswith("depends") is depends
    assert f"; {int(depends)} signs" in grid.caption


def test_letters_have_no_second_reading_and_the_baseline_no_difference():
    base, arm = run("base", scores("c", 0.5)), run("arm", scores("c", 0.75, unparsed=0.25))
    grid = extraction_audit.by_task(study(base, arm)[1], ["c"])
    assert cells(grid, "arm", "c")["other extractor"] == "\u2014"
    assert cells(grid, "arm", "c")["difference under both"] == "\u2014"
    assert cells(grid, "arm", "c")["no answer found"] == "25.0 %"
    assert cells(grid, "base", "c")["difference under both"] == "\u2014"


def test_an_arm_that_lacks_a_task_is_named_and_averaged_over_nothing():
    whole, _ = study(
        run("base", scores("g", 0.5), scores("h", 0.5)), run("arm", scores("g", 1.0, truncated=1.0))
    )
    assert (
        "missing" in cells(extraction_audit.by_arm(whole, whole.arms()), "arm")["no answer found"]
    )
    weights = robustness.weightings(whole, whole.arms())
    assert cells(weights, "arm")["average"] == "\u2014"
    assert cells(weights, "base")["average"] == "50.0"


def test_weightings_stand_side_by_side():
    divided = scores("bbh", 0.5, by_subject=0.3, normalised=0.2, subjects=2)
    plain = scores("gsm8k", 0.1, by_subject=0.1, normalised=0.1)
    whole, _ = study(run("base", divided, plain))
    found = cells(robustness.weightings(whole, whole.arms()), "base")
    assert (found["average"], found["by subject"], found["above chance"]) == (
        "30.0",
        "20.0",
        "15.0",
    )
    assert (found["BBH by item"], found["BBH by subject"]) == ("50.0", "30.0")
    assert "GSM8K by item" not in found
    above = cells(robustness.above_chance(whole, whole.arms()), "base")
    assert (above["BBH"], above["GSM8K"], above["average"]) == ("20.0", "10.0", "15.0")


def test_gap_and_spread_are_in_points():
    arms = study(run("a", scores("g", 1.0), generalisation={"gap": 0.125, "spread": 0.2}))[0].arms()
    found = cells(robustness.generalisation(arms), "a")
    assert found["train/test gap, points"] == "+12.5"
    assert found["SD over tasks, points"] == "20.0"


def test_size_and_speed_stand_against_the_raw_student():
    raw = run(
        "raw_student", scores("g", 0.0), efficiency={"parameters": 200, "tokens_per_second": 50}
    )
    arm = run("sft", scores("g", 0.0), efficiency={"parameters": 200, "tokens_per_second": 45.0})
    found = cells(score_tables.efficiency(study(raw, arm)[0].arms()), "sft")
    assert found["parameters, % of raw"] == "100.0"
    assert found["tokens/s, % of raw"] == "90.0"
    alone = score_tables.efficiency(study(arm)[0].arms())
    assert not [column for column in alone.columns if "raw" in column]


def budgeted(*rows):
    keys = ("label", "seed", "steps", "planned_tokens", "real_tokens", "train_s")
    whole, _ = study(run("a", scores("g", 0.0)))
    whole.budgets = [{"arms": [dict(zip(keys, row, strict=True)) for row in rows]}]
    return whole


def test_real_tokens_are_compared_within_a_seed_and_time_not_at_all():
    rows = [("sft", 1, 40, 960, 900, 5.0), ("kv", 1, 40, 960, 900, 50.0)]
    more = [("sft", 2, 40, 960, 800, 5.0), ("kv", 2, 40, 960, 800, 50.0)]
    whole = budgeted(*rows, *more)
    marks = {value.mark for row in score_tables.budget(whole).rows for value in row}
    assert marks == {""}


def test_other_texts_have_tokens_of_their_own():
    rows = [("cot", 1, 40, 960, 900, 5.0), ("direct", 1, 40, 960, 600, 5.0)]
    whole = budgeted(*rows)
    assert {value.mark for row in score_tables.budget(whole).rows for value in row} == {"", "bad"}
    for node, read in zip(whole.budgets[0]["arms"], ("worked", "bare"), strict=True):
        node["texts"] = read
    assert {value.mark for row in score_tables.budget(whole).rows for value in row} == {""}


@pytest.mark.parametrize(
    ("longer", "named"),
    [(("kv", 1, 41, 960, 900, 5.0), "steps"), (("kv", 1, 40, 960, 920, 5.0), "real_tokens")],
)
def test_what_an_arm_trained_longer_is_marked(longer, named):
    whole = budgeted(("sft", 1, 40, 960, 900, 5.0), longer)
    marked = {
        column
        for row in score_tables.budget(whole).rows
        for column, value in zip(score_tables.budget(whole).columns, row, strict=True)
        if value.mark == "bad"
    }
    assert marked == {named}
