"""Answers by their kind: text, number, or the letter of an option, which wins wherever one fits."""

import pytest

from kvdistill.data.rows.final_answer import (
    check_answer_kind,
    list_option_texts,
    read_final_answer,
)
from kvdistill.errors import ConfigError, RowError

CHOICE = "Where is it?\nA. place 1\nB. place 2\nC. place 3"
INLINE = "小明有几个苹果\uff1fA.3 B.4 C.5 D.6"


@pytest.mark.parametrize(
    ("kind", "question", "answer", "read"),
    [
        ("text", CHOICE, "Place 2", "B"),
        ("text", CHOICE, "(b)", "B"),
        ("text", CHOICE, "B. place 2", "B"),
        ("text", CHOICE, "It is far away.", "It is far away."),
        ("text", "What is A. B. Yehoshua?", "a", "a"),
        ("letter", CHOICE, "Here it lies. The answer is C.", "C"),
        ("letter", CHOICE, "a long way: the answer is a place, so place 3\n#### C", "C"),
        ("number", INLINE, "2+3=5\uff0c所以选C。", "C"),
        ("number", INLINE, "2+3=5\uff0c一共5个。", "C"),
        ("number", "几个?", "一共4个。", "4"),
        ("number", "几个?", "4", "4"),
    ],
)
def test_an_answer_is_read_by_its_kind(kind, question, answer, read):
    text, reading = read_final_answer(kind, question, answer, "row 1")
    assert text == read
    assert (reading is None) == (read == answer)


@pytest.mark.parametrize(
    ("kind", "question", "answer", "reason"),
    [
        ("letter", CHOICE, "nowhere", "no one letter of an option"),
        ("letter", CHOICE, "The answer is B. No, the answer is C.", "no one letter of an option"),
        ("letter", CHOICE, "E", "no one letter of an option"),
        ("letter", "Where?", "B", "no one letter of an option"),
        ("number", INLINE, "一共9个。", "no one letter of an option"),
        ("number", "几个?", "2小时30分钟", "no one number"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(kind, question, answer, reason):
    with pytest.raises(RowError, match=r"^row 1, field answer: .*remove the row") as caught:
        read_final_answer(kind, question, answer, "row 1")
    assert caught.value.reason == reason


def test_options_are_listed_from_a_on():
    assert list(list_option_texts(CHOICE)) == ["A", "B", "C"]
    assert list_option_texts(INLINE) == {"A": "3", "B": "4", "C": "5", "D": "6"}
    assert list_option_texts("Plan B. It is late.\nC. none") == {}


def test_an_unknown_kind_is_named():
    with pytest.raises(ConfigError, match=r"^data\.source\.answers='list' must be one of text"):
        check_answer_kind("list", "data.source.answers")
