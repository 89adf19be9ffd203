"""Answers of BIG-Bench Hard in the forms that models write, each read as its gold answer's kind."""

import pytest

from kvdistill.evaluate.grading.bbh import (
    compute_chance,
    extract_bbh_answer,
    extract_bbh_direct_answer,
    match_bbh_answer,
)

DATES = "When?\nOptions:\n(A) 05/01/2021\n(B) 05/02/2021"
CASES = [
    ("The answer is (A) 05/01/2021.", "(A)", True),
    ("The answer is 05/01/2021", "(A)", True),
    ("The answer is 05/02/2021", "(A)", False),
    (r"\boxed{\text{(A)}}", "(A)", True),
    ("(B) is out, so it is (A).", "(A)", True),
    ("The answer is (A), not (B).", "(A)", True),
    ("The answer is (A) or (B).", "(A)", None),
    ("The answer is True because not False is True", "True", True),
    ("True and False = False", "True", False),
    ("**True**", "True", True),
    ("The answer is True or False", "True", None),
    ("So the answer is yes.", "Yes", True),
    ("Yes, they are back.", "Yes", True),
    ("No, Jamey lies.", "No", True),
    ("There is no doubt. So the answer is Yes.", "Yes", True),
    ("The sentence is not plausible.", "no", True),
    ("So it is plausible.", "yes", True),
    ("The argument is not deductively valid.", "invalid", True),
    ("The answer is no. Wait, no, it is yes.", "yes", True),
    ("I do not know", "yes", None),
    ("The answer is seven.", "7", True),
    ("The answer is \u221212", "-12", True),
    ("The answer is 7 or 8", "7", None),
    ("The answer is:\n1. ant\n2. bee\n3. cow", "ant bee cow", True),
    ("- ant\n- bee\n- cow", "ant bee cow", True),
    ("The sorted words are: ant, bee, and cow", "ant bee cow", True),
    ("ant < bee < cow", "ant bee cow", True),
    ("The answer is ant cow bee", "ant bee cow", False),
    ("The answer is ant bee", "ant bee cow", False),
    ("The answer is `] )`.", "] )", True),
    ("The answer is ( [ ] )", "] )", True),
    ("The answer is ] ] )", "] )", False),
    (r"\boxed{] }}", "] }", True),
]


@pytest.mark.parametrize(("text", "gold", "verdict"), CASES)
def test_an_answer_is_read_in_the_form_of_the_gold_one(text, gold, verdict):
    question = DATES if gold == "(A)" else "Complete it. Input: ( ["
    answer = extract_bbh_answer(text, {"target": gold, "input": question})
    assert (answer and match_bbh_answer(answer, gold, question)) is verdict


@pytest.mark.parametrize("gold", ["(A)", "True", "7", "ant bee cow", "] )"])
def test_an_empty_response_has_no_answer(gold):
    doc = {"target": gold, "input": ""}
    assert extract_bbh_answer("", doc) is None
    assert extract_bbh_direct_answer(" \n", doc) is None


def test_a_direct_answer_is_what_the_first_line_says():
    assert extract_bbh_direct_answer(" 7\nAnd then 8.", {"target": "7"}) == "7"
    assert extract_bbh_direct_answer("Hm.\nThe answer is 7", {"target": "7"}) == "7"


def test_guessing_is_right_by_the_number_of_options():
    assert compute_chance(DATES, "(A)") == 0.5
    assert compute_chance("", "valid") == 0.5
    assert compute_chance("", "ant bee") == 0.0
