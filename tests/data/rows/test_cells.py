"""Every kind of cell has its rule: what a text is made of, and what is refused by name."""

from datetime import date
from decimal import Decimal

import pytest

from kvdistill.data.rows.cells import read_cell
from kvdistill.errors import RowError


def read(value, field="answer"):
    return read_cell({"c": value}, "c", "own.jsonl row 1", field)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (72, "72"), (72.0, "72"), (0.5, "0.5"), (1e22, "10000000000000000000000"),
        (1e-7, "0.0000001"), (Decimal("2.50"), "2.5"), (["72"], "72"), ([72, 72], "72"),
        (["Paris", "Paris"], "Paris"), (-0.0, "-0"),
    ],
)  # fmt: skip
def test_a_number_is_written_as_one_writes_it_and_a_list_of_one_is_that_one(value, text):
    assert read(value) == text


@pytest.mark.parametrize("value", [["4", "5"], [4, 5]])
def test_an_answer_of_several_values_is_refused(value):
    with pytest.raises(RowError, match=r"'c' holds 2 values, .*has one answer\. Keep the one"):
        read(value)
    assert read(value, "rationale") == read(value, "question") == "4\n5"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing"), (float("nan"), "missing"), (float("inf"), "missing"),
        (Decimal("NaN"), "missing"), (True, "no text"), (date(2026, 1, 1), "no text"),
        ({"text": ["4"]}, "no text"), ([], "no text"), (["x", 2], "no text"), (b"4", "no text"),
        ("\ud800", "half a character"), ("x" * 100_001, "too long"),
    ],
)  # fmt: skip
def test_what_is_no_text_has_a_reason_and_a_way_out(value, reason):
    with pytest.raises(RowError, match=r"^own\.jsonl row 1, field answer: .*\. \w.*\.$") as caught:
        read(value)
    assert caught.value.reason == reason


def test_a_file_of_conversations_that_are_not_mapped_says_how():
    talk = [{"role": "user", "content": "1?"}, {"role": "assistant", "content": "2"}]
    with pytest.raises(RowError, match=r"no column 'question'.*'messages' holds conversations"):
        read_cell({"messages": talk}, "question", "own.jsonl row 1", "question")


def test_rows_without_rationales_say_how():
    way_out = r"no column 'rationale'.*data\.source\.fields\.rationale=null.*style=direct"
    with pytest.raises(RowError, match=way_out):
        read_cell({"question": "1?", "answer": "2"}, "rationale", "own.jsonl row 1", "rationale")
