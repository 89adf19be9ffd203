"""Likelihood beside written answers: which arms the two rank differently."""

import pytest

from kvdistill.plan.task_files import pair_answer_forms
from kvdistill.report.sections.answers.answer_forms import (
    describe_answer_forms,
    tabulate_answer_forms,
)
from kvdistill.stats.analysis import analyse_question
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, QuestionRecords, Study
from tests.report.small_studies import make_run, make_scores, make_study, read_row

LIKELIHOOD, WRITTEN = "gsm8k_likelihood", "gsm8k_zero"


def make_scored(label, likelihood, written):
    return make_run(label, make_scores(LIKELIHOOD, likelihood), make_scores(WRITTEN, written))


def analyse_seeds(**scores):
    """An analysis of arms, each a list of (likelihood, written) by seed."""
    arms = {}
    for label, pairs in scores.items():
        runs = {}
        for seed, pair in enumerate(pairs):
            runs[seed] = make_scored(f"{label}{seed}", *pair)
            runs[seed].seed, runs[seed].trained, runs[seed].arm = seed, True, label
        arms[label] = Arm(label=label, runs=runs)
    question = QuestionRecords(name="q", text="?", arms=arms)
    records = Study(
        name="s", folders=[], tasks=[LIKELIHOOD], questions={"q": question},
        runs={run.identity: run for arm in arms.values() for run in arm.runs.values()},
        references={},
    )  # fmt: skip
    return analyse_question(records, question, Settings(resamples=999))


def test_pairs_are_tasks_on_the_same_rows_in_two_forms():
    tasks = ["truthfulqa", "truthfulqa_mc2", LIKELIHOOD, "ceval", "ceval_written", WRITTEN]
    assert pair_answer_forms(tasks) == [(LIKELIHOOD, WRITTEN), ("ceval", "ceval_written")]
    assert pair_answer_forms(["cmmlu", "ceval_written", "nano_logic", "builtin:gsm8k"]) == []


def test_an_arm_that_gains_in_likelihood_and_loses_in_writing_is_flagged():
    _, analysis = make_study(
        make_scored("sft", 0.50, 0.30),
        make_scored("kv", 0.55, 0.20),
        make_scored("kd", 0.52, 0.40),
    )
    grid = tabulate_answer_forms(analysis)
    row = read_row(grid, "kv")
    assert (row["difference"], row["difference "]) == ("+5.0", "\u221210.0")
    assert row["direction"] == "other way"
    assert read_row(grid, "kd")["direction"] == "same"
    (sentence,) = describe_answer_forms(analysis)
    assert sentence == (
        f"{LIKELIHOOD} and {WRITTEN} rank 2 of 3 pairs of arms differently: sft and kv; kv and kd."
    )


def test_arms_that_both_forms_rank_alike_need_no_sentence():
    _, analysis = make_study(make_scored("sft", 0.5, 0.3), make_scored("kv", 0.6, 0.3))
    assert describe_answer_forms(analysis) == []
    assert read_row(tabulate_answer_forms(analysis), "kv")["direction"] == "same"


@pytest.mark.parametrize(("last", "word"), [(0.22, "beyond seeds"), (0.45, "other way")])
def test_a_reversal_beyond_the_spread_of_seeds_is_said(last, word):
    analysis = analyse_seeds(
        sft=[(0.50, 0.30), (0.51, 0.31), (0.49, 0.29)],
        kv=[(0.55, 0.20), (0.57, 0.22), (0.55, last)],
    )
    row = read_row(tabulate_answer_forms(analysis), "kv")
    assert row["direction"].endswith(word)
    assert row["interval"].startswith("[")


def test_a_raw_student_is_compared_with_every_seed():
    analysis = analyse_seeds(sft=[(0.50, 0.30), (0.52, 0.28)], raw=[(0.40, 0.35)])
    analysis.question.arms["raw"].runs[0].trained = False
    row = read_row(tabulate_answer_forms(analysis), "raw")
    assert row["difference"] == "\u221211.0"


def test_no_table_where_nothing_was_scored_in_both_forms():
    _, analysis = make_study(
        make_run("sft", make_scores("gsm8k", 0.5)), make_run("kv", make_scores("gsm8k", 0.6))
    )
    assert tabulate_answer_forms(analysis).rows == []
    assert describe_answer_forms(analysis) == []


def test_an_unfinished_arm_is_left_out():
    analysis = analyse_seeds(sft=[(0.5, 0.3)], kv=[(0.6, 0.2)])
    analysis.question.arms["kv"].runs[0].state = "running"
    assert tabulate_answer_forms(analysis).rows == []
