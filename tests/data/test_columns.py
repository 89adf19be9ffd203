"""From foreign rows to records, and the messages about rows that are none."""

import pytest

from kvdistill.data.columns import ColumnMapping
from kvdistill.data.rows.cells import MAX_FIELD_BYTES
from kvdistill.errors import ConfigError

GSM8K = r"(?s)(?P<rationale>.*?)\s*####\s*(?P<answer>.*)"


def make_mapping(**values):
    defaults = {
        "setting": "data.source.fields",
        "columns": {"question": "q", "answer": "a"},
        "source": "toy",
        "task": "sums",
    }
    return ColumnMapping(**(defaults | values))


def read_row(row, **values):
    return make_mapping(**values)(row, "toy.jsonl row 4", "toy-4")


def test_columns_become_a_record():
    columns = {"question": "q", "answer": "a", "rationale": "why", "task": "kind", "id": "key"}
    row = {"q": " 1 + 1? ", "a": 2, "why": "count", "kind": "sums", "key": 17, "unused": None}
    record = read_row(row, columns=columns, task=None)
    assert (record.question, record.answer, record.rationale) == ("1 + 1?", "2", "count")
    assert (record.task, record.id, record.source) == ("sums", "17", "toy")


def test_what_is_not_mapped_has_a_default():
    record = read_row({"q": "1?", "a": "2"}, columns={"question": "q", "answer": "a", "id": None})
    assert (record.id, record.task, record.rationale) == ("toy-4", "sums", "")


def test_a_template_joins_columns_and_lists():
    columns = {"question": "{q}\nA. {A}\n{more}", "answer": "a"}
    record = read_row(
        {"q": "Which?", "A": "x{y}", "more": ["B. y", "C. z"], "a": "A"}, columns=columns
    )
    assert record.question == "Which?\nA. x{y}\nB. y\nC. z"


def test_a_columns_name_is_taken_as_it_is():
    columns = {"question": "q.text[0]", "answer": "{a!}{0}"}
    with pytest.raises(ConfigError, match=r"data\.source\.fields\.answer='\{a!\}"):
        read_row({}, columns=columns)
    row = {"q.text[0]": "1?", "0": "2", "b c": "3"}
    assert read_row(row, columns=columns | {"answer": "{0}{{{b c}"}).answer == "2{3"
    assert read_row(row, columns=columns | {"answer": "{0}"}).question == "1?"


def test_what_a_template_makes_is_bounded():
    row = {"q": "x" * 60_000, "a": "2"}
    with pytest.raises(ConfigError, match="field question: its columns make more than"):
        read_row(row, columns={"question": "{q}{q}", "answer": "a"})


@pytest.mark.parametrize(
    "template", ["{q", "{}", "{q!r}", "{q:>999999999}", "{q}}", "{q!}"], ids=str
)
def test_a_template_holds_columns_and_text_alone(template):
    with pytest.raises(ConfigError, match=r"^data\.source\.fields\.question="):
        make_mapping(columns={"question": template, "answer": "a"})


def test_a_pattern_splits_rationale_and_answer():
    record = read_row({"q": "?q", "a": "48 / 2 = 24\nso 72\n#### 72"}, pattern=GSM8K)
    assert (record.rationale, record.answer) == ("48 / 2 = 24\nso 72", "72")


def test_the_last_match_of_a_pattern_counts():
    record = read_row({"q": "?q", "a": "first 3, then 5."}, pattern=r"(?P<answer>\d+)")
    assert record.answer == "5"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"q": "1?"}, "row 4, field answer: no column 'a' among"),
        ({"q": "1?", "a": " \n"}, "field answer: empty"),
        ({"q": "", "a": "2"}, "field question: empty"),
        ({"q": None, "a": "2"}, "field question: column 'q' holds NoneType"),
        ({"q": "1?", "a": True}, "field answer: column 'a' holds bool"),
        ({"q": "1?", "a": ["x", 2]}, "field answer: column 'a' holds list"),
        ({"q": "1?", "a": float("nan")}, "field answer: column 'a' holds nan, no number"),
        ({"q": "1?", **{f"c{n}": n for n in range(9999)}}, r"no column 'a' among .{,130}\.\.\."),
        ({"q": "x" * (MAX_FIELD_BYTES + 1), "a": "2"}, "field question: column 'q' is longer than"),
        ({"q": "\ud800", "a": "2"}, "field question: column 'q' holds half a character"),
    ],
)
def test_a_row_that_is_no_record_is_named(row, message):
    with pytest.raises(ConfigError, match=rf"toy\.jsonl row 4.*{message.removeprefix('row 4, ')}"):
        read_row(row)


def test_an_answer_without_a_match_is_named():
    with pytest.raises(ConfigError, match="row 4, field answer: nothing in it matches"):
        read_row({"q": "1?", "a": "72"}, pattern=GSM8K)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"columns": {"question": "q"}}, "has no answer"),
        ({"columns": {"question": "q", "answer": "a", "anwser": "b"}}, "names 'anwser'"),
        ({"task": None}, "has no task column"),
        ({"pattern": "(?P<rationale>.*)"}, "has no group `answer`"),
        ({"pattern": "("}, "is no regex"),
    ],
)
def test_a_broken_mapping_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        make_mapping(**values)
