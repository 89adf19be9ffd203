"""The second reading shares no rule with the first, so that it errs where the first does not."""

import pytest

from kvdistill.evaluate.grading import math_equivalence
from kvdistill.evaluate.grading.extract import extract_statement
from kvdistill.evaluate.grading.read_number import extract_number
from kvdistill.evaluate.grading.second_reading import (
    read_bbh_again,
    read_by_math_verify,
    read_last,
)


@pytest.fixture(scope="module", autouse=True)
def close_verifier():
    yield
    math_equivalence.close_process()


def test_math_verify_reads_the_whole_response_by_its_own_rules(monkeypatch):
    # Nothing of ours may help it: it would err alike.
    monkeypatch.setattr(math_equivalence, "compare_forms", None)
    monkeypatch.setattr(math_equivalence, "rewrite_signs", None)
    assert read_by_math_verify("16-7=9 and so on.\n#### 18", {"target": "18"}) == "18"
    assert read_by_math_verify(r"\boxed{\frac{1}{2}}", {"target": "0.5"}) == "0.5"
    assert read_by_math_verify("#### 19", {"target": "18"}) is None


def test_the_two_readings_can_differ():
    text = "The answer is not 20 but 18."
    assert extract_number(text) == "18"
    assert read_by_math_verify(text, {"target": "18"}) is None


@pytest.mark.parametrize(
    ("text", "gold", "answer"),
    [
        ("The answer is (A).", "(A)", "(A)"),
        ("The answer is (B).", "(A)", None),
        ("So the answer is Yes.", "Yes", "Yes"),
        ("The answer is 7", "7", "7"),
        ("The answer is ant, bee.", "ant bee", "ant bee"),
        ("#### ] )", "] )", "] )"),
    ],
)
def test_bbh_is_read_again_in_each_of_its_forms(text, gold, answer):
    assert read_bbh_again(text, {"target": gold}) == answer


@pytest.mark.parametrize(
    ("text", "doc", "answer"),
    [
        ("9+9=18. #### 18 eggs", {"target": "18"}, "18"),
        ("#### Ann", {"target": "Ann"}, "Ann"),
        ("B, no: C", {"target": "C", "letters": ["A", "B", "C"]}, "C"),
        ("", {"target": "18"}, None),
    ],
)
def test_short_answers_are_the_last_of_their_kind(text, doc, answer):
    assert read_last(text, doc) == answer


def test_a_statement_of_text_is_the_clearest_one():
    assert extract_statement("The answer is Bob. #### Ann") == "Ann"
    assert extract_statement("The answer is Bob. Wait, no, it is Ann.") == "Ann"
    assert extract_statement("Ann") is None
