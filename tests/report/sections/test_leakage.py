"""The badge of a check says what its table says, and names what no method sees."""

from dataclasses import replace

import pytest

from kvdistill.report.sections.leakage import judge_leakage
from kvdistill.report.sections.score_tables import tabulate_scores
from kvdistill.report.terminal import make_rich_table
from kvdistill.stats.summary import build_tables
from tests.report.small_studies import make_run, make_scores, make_study, read_row

REPORT = {
    "verdict": "clean",
    "sets": {
        "train_student": {"role": "train", "rows": 90},
        "test": {"role": "test", "rows": 40},
        "a": {"role": "drawn", "rows": 20},
        "b": {"role": "task", "rows": 12},
    },
    "tainted": {"test": ["x"], "a": [], "b": [], "train_questions": ["y", "z"]},
    "pairs": [
        {"first": "train_student", "second": "a", "method": "template", "hits": 3},
        {"first": "a", "second": "a", "method": "template", "hits": 9},
    ],
}


def judge(**changes):
    study, _ = make_study(make_run("arm", make_scores("a", 0.5)))
    [verdict] = judge_leakage(replace(study, validations={"s": {**REPORT, **changes}}))
    return verdict.word, " ".join(verdict.sentences)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "clean"),
        ({"tainted": {"a": ["a-1", "a-2"], "b": ["b-1"]}}, "tainted"),
        ({"missing": {"gpqa": "no data"}}, "unchecked"),
        ({"verdict": "leak", "tainted": {"a": ["a-1"]}}, "leak"),
    ],
)
def test_the_badge_is_clean_only_where_nothing_is_marked_or_left_out(changes, word):
    assert judge(**changes)[0] == word


def test_the_sentences_count_the_scored_items_and_name_what_is_not_seen():
    _, text = judge(tainted={"a": ["a-1", "a-2"], "b": ["b-1"]}, missing={"gpqa": "no data"})
    assert "3 of 32 scored items were found in training texts" in text
    assert "3 pairs of a training row and a scored item differ in numbers alone" in text
    assert "gpqa was not checked: no data" in text
    assert "No method sees: paraphrase" in text
    assert "translation" in text


def read_clean_column(*task_scores):
    study, _ = make_study(make_run("arm", *task_scores))
    [table] = build_tables(study)
    page = read_row(tabulate_scores(table, {}, "t"), "arm")
    terminal = [str(column.header) for column in make_rich_table(table).columns]
    return page, terminal


def test_the_average_on_clean_items_stands_beside_the_average():
    page, terminal = read_clean_column(
        make_scores("a", 0.5, tainted=2, clean=0.25), make_scores("b", 0.7, tainted=0, clean=0.75)
    )
    assert (page["average"], page["on clean items"]) == ("60.0", "50.0")
    assert terminal[-2:] == ["average", "on clean items"]


def test_an_average_over_a_part_of_the_tasks_is_none():
    page, _ = read_clean_column(
        make_scores("a", 0.5, tainted=4, clean=None), make_scores("b", 0.7, tainted=0, clean=0.75)
    )
    assert page["on clean items"] == "missing: clean items of a"


def test_a_run_that_was_never_checked_has_no_such_column():
    page, terminal = read_clean_column(make_scores("a", 0.5))
    assert "on clean items" not in {*page, *terminal}
