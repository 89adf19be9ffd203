"""lm-eval's scores beside ours."""

from kvdistill.report.sections.answers.counterparts import tabulate_counterparts
from kvdistill.report.sections.extraction_audit import list_cut_sentences, tabulate_by_task
from tests.report.small_studies import make_run, make_scores, make_study, read_row

THEIRS = {
    "gsm8k": {
        "task": "gsm8k", "shots": 5, "score": 0.375, "alternative": 0.5, "n": 4, "truncated": 0.25,
    },
    "bbh": {"task": "bbh_cot_fewshot", "shots": 3, "missing": "a prompt does not fit"},
}  # fmt: skip


def test_a_model_scored_as_it_is_has_a_row_a_task_and_a_trained_one_has_none():
    scores = (make_scores("gsm8k", 0.5), make_scores("bbh", 0.25))
    records, _ = make_study(
        make_run("raw student", *scores, counterparts=THEIRS), make_run("trained", *scores)
    )
    grid = tabulate_counterparts(records)
    assert [row[0].text for row in grid.rows] == ["raw student", "raw student"]
    row = read_row(grid, "raw student", "GSM8K")
    assert (row["score"], row["its score"], row["difference"]) == ("50.0", "37.5", "+12.5")
    assert (row["its second filter"], row["its cut off"], row["its shots"]) == ("50.0", "25.0", "5")
    absent = read_row(grid, "raw student", "BBH")
    assert (absent["its score"], absent["difference"]) == ("none", "\u2014")
    assert grid.rows[1][6].title == "a prompt does not fit"


def test_many_answers_that_were_cut_off_are_said_by_arm_and_task():
    records, _ = make_study(
        make_run("base", make_scores("g", 0.5), make_scores("h", 0.5, truncated=0.05)),
        make_run("arm", make_scores("g", 0.5, truncated=0.7), make_scores("h", 0.5)),
    )
    (sentence,) = list_cut_sentences(records.distinct_arms())
    assert sentence.startswith("arm: many answers were cut off")
    assert "g (70 %)" in sentence
    assert "tasks.max_gen_toks" in sentence


def test_the_share_of_answers_with_the_mark_stands_beside_the_score():
    records, analysis = make_study(
        make_run("base", make_scores("g", 0.5, marked=0.25), make_scores("letters", 0.5))
    )
    grid = tabulate_by_task(analysis, records.tasks)
    assert read_row(grid, "base", "g")["mark written"] == "25.0 %"
    assert read_row(grid, "base", "letters")["mark written"] == "\u2014"
