"""Responses to multiple-choice questions and the letter they give; None where there is none."""

import pytest

from kvdistill.evaluate.grading.letters import extract_letter, list_options, parse_letter

CASES = [
    ("B", "B"),
    (" B", "B"),
    ("B.", "B"),
    ("(B)", "B"),
    ("**B**", "B"),
    ("b", "B"),
    ("B. Vitamin C", "B"),
    ("B) Paris\nA is a town of Italy.", "B"),
    ("\uff22", "B"),
    ("\uff08\uff22\uff09", "B"),
    ("The answer is B", "B"),
    ("The answer is (B).", "B"),
    ("The answer is **B**.", "B"),
    ("The answer is: B) Paris", "B"),
    ("The answer is option B.", "B"),
    ("The correct answer is B. Vitamin C", "B"),
    ("The answer is B, because A is wrong.", "B"),
    ("The answer is B because A and C are not prime.", "B"),
    ("The answer is not B but C", "C"),
    ("The answer isn't B; it is C", "C"),
    ("The answer is C, not B.", "C"),
    ("B is wrong, so C", "C"),
    ("B is wrong. C is right.", "C"),
    ("A and B are incorrect, so it must be C.", "C"),
    ("A. is wrong. B. is wrong. So the answer is D.", "D"),
    ("A red one is not blue. So it is (C)", "C"),
    ("I think a dog is D.", "D"),
    ("Option C is correct.", "C"),
    ("C is the correct answer.", "C"),
    ("I would choose C.", "C"),
    ("We can rule out A and B. The answer is D.", "D"),
    ("#### C", "C"),
    ("#### (C) yesterday", "C"),
    ("#### Step 1: A is out\n#### C", "C"),
    (r"\boxed{C}", "C"),
    (r"\boxed{\text{(C)}}", "C"),
    (r"$\boxed{\mathbf{C}}$", "C"),
    ("Answer: C", "C"),
    ("The answer is 'C'.", "C"),
    ("The answer must be (C) since B fails.", "C"),
    ("It can't be A. It can't be B. So C.", "C"),
    ("\u7b54\u6848\u5e76\u975eB\uff0c\u800c\u662fC", "C"),
    ("\u672c\u9898\u9009C", "C"),
    ("**Answer:** C. red", "C"),
    ("The answer is A. Wait, no, it is C.", "C"),
    ("The answer is C.\n\nQuestion: next?\nThe answer is D.", "C"),
    ("<think>A or B?</think>The answer is C", "C"),
    ("\u7b54\u6848\u662fB", "B"),
    ("\u7b54\u6848\u662f\uff1aB\u3002", "B"),
    ("\u7b54\u6848\uff1aB", "B"),
    ("\u7b54\u6848\u4e3a\uff08B\uff09", "B"),
    ("\u7b54\u6848\u9009B", "B"),
    ("\u6b63\u786e\u7b54\u6848\u662f B\u3001\u5df4\u9ece", "B"),
    ("\u6545\u9009B\u3002", "B"),
    ("\u56e0\u6b64\u9009\u62e9 C\u3002", "C"),
    ("B\u662f\u9519\u7684\uff0c\u6240\u4ee5\u9009C\u3002", "C"),
    ("A\u9519\u8bef\uff0cB\u9519\u8bef\uff0cD\u9519\u8bef\uff0c\u6545\u9009C", "C"),
    ("\u7b54\u6848\u4e0d\u662fB\uff0c\u800c\u662fC\u3002", "C"),
    ("\u7b54\u6848\u662fC\uff0c\u56e0\u4e3aA\u548cB\u4e0d\u5bf9\u3002", "C"),
    ("C\u9009\u9879\u6b63\u786e\u3002", "C"),
    ("\u6392\u9664A\u548cB\uff0c\u7b54\u6848\u662fD", "D"),
    ("The answer is blue", "C"),
    ("blue", "C"),
    ("The answer is B or C.", None),
    ("The answer is (B) and (C).", None),
    ("\u7b54\u6848\u662fBC", None),
    ("\u7b54\u6848\u662fB\u548cC", None),
    ("B, C", None),
    ("A red one", None),
    ("Neither A nor B", None),
    ("The answer is E", None),
    ("The answer is a dog", None),
    ("I do not know", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "letter"), CASES, ids=range(len(CASES)))
def test_a_response_gives_its_letter_or_none(text, letter):
    options = {"A": "red", "B": "green", "C": "blue", "D": "grey"}
    assert extract_letter(text, "ABCD", options) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("**B**", "B"),
        ("\uff22", "B"),
        ("B. green", "B"),
        ("(B) green", "B"),
        ("B\u3001green", "B"),
        ("\u7b54\u6848\u662fB", "B"),
        ("\u9009B", "B"),
        ("The answer is (B).", "B"),
        ("B. red", None),
        ("Bob", None),
        ("A dog", None),
        ("E", None),
        ("18", None),
        ("", None),
    ],
)
def test_a_gold_answer_is_its_letter_however_it_is_written(answer, letter):
    assert parse_letter(answer, {"A": "red", "B": "green"}) == letter


def test_options_are_read_in_the_forms_that_questions_write_them():
    for form in ("{}. ", "({}) ", "{}) ", "{}: ", "{}\uff0e", "{}\u3001"):
        question = "Which?\n" + "\n".join(form.format(letter) + "x" + letter for letter in "ABC")
        assert list_options(question) == {"A": "xA", "B": "xB", "C": "xC"}
