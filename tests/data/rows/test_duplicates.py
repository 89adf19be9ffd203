"""A question is one record: copies go, and answers that differ are a conflict by a stated rule."""

import pytest

from kvdistill.data.rows.duplicates import (
    check_conflict_rule,
    deduplicate_records,
    normalise_answer,
)
from kvdistill.errors import ConfigError
from tests.data.factories import make_record

ONE = make_record(1, question="What is 3 and 4?", answer="7")
SAME = make_record(2, question="what is 3 AND 4 ??", answer="7.0")
OTHER = make_record(3, question="What is 3 and 4", answer="8")
ELSE = make_record(4, question="Something else?", answer="8")


def test_copies_with_equal_answers_are_one_record():
    result = deduplicate_records([ONE, SAME, ELSE])
    assert (result.records, result.duplicates, result.conflicts) == ([ONE, ELSE], 1, [])


@pytest.mark.parametrize(
    ("rule", "kept", "duplicates"), [("drop", [ELSE], 0), ("first", [ONE, ELSE], 2)]
)
def test_answers_that_differ_are_told_and_treated_by_rule(rule, kept, duplicates):
    result = deduplicate_records([ONE, SAME, ELSE, OTHER], rule)
    assert (result.records, result.duplicates) == (kept, duplicates)
    assert result.conflicts == [[ONE, SAME, OTHER]]


def test_answers_that_differ_are_refused_by_name():
    with pytest.raises(
        ConfigError, match=r"conflicts=refuse: 1 .*'r1' has '7', 'r3' '8'\. Correct"
    ):
        deduplicate_records([ONE, SAME, OTHER], "refuse")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1,000", "1000.0", True), ("Paris", " paris.", True), ("\uff17", "7", True),
        ("-3", "3", False), ("3/4", "34", False), ("1,2", "12", False), ("A", "B", False),
        ("0.5", ".5", True), ("1e400", "1e401", False), ("nan", "NaN", True),
    ],
)  # fmt: skip
def test_answers_are_compared_as_graders_do(one, other, same):
    assert (normalise_answer(one) == normalise_answer(other)) == same


def test_an_unknown_rule_is_named():
    with pytest.raises(ConfigError, match=r"^data\.split\.conflicts='keep' must be one of drop"):
        check_conflict_rule("keep", "data.split.conflicts")
