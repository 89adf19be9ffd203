r"""Responses that give 18 in the ways models write it, and those that give no clear answer.

The rule is that of `grading/read_number.py`. `None` is unparsed; a number that is not 18 is what
such a response really gives.
"""

import pytest

from kvdistill.evaluate.grading.numbers import parse_number
from kvdistill.evaluate.grading.read_number import extract_number

STEPS = "She has 16 - 3 - 4 = 9 eggs left. 9 * 2 = 18."
MARKS = [
    ("9+9=18. #### 18", "18"),
    ("#### 18", "18"),
    ("####18", "18"),
    ("####\n18", "18"),
    ("#### $18", "18"),
    (r"#### \$18", "18"),
    ("#### 18.", "18"),
    ("#### 18.00", "18"),
    ("#### **18**", "18"),
    ("#### 18 dollars", "18"),
    ("#### 18 (9 eggs at $2)", "18"),
    ("#### 18 eggs, which is 2 times 9", "18"),
    ("#### 5 + 13 = 18 eggs", "18"),
    ("#### x = 18", "18"),
    ("#### Total: 18", "18"),
    ("#### Answer: 18", "18"),
    ("#### The answer is 18 dollars", "18"),
    ("#### Final Answer\n18", "18"),
    ("#### Answer\n\n**$18**", "18"),
    ("#### \u7b54\u6848\uff1a18", "18"),
    ("#### Step 1: 16-7=9\n#### Step 2: 9*2=18\n#### 18", "18"),
    ("#### Steps\n16-7=9 and 9*2=18\n#### Answer\n18", "18"),
    ("#### 1. Count\n16-7 = 9\n#### 2. Sell\n9*2 = 18\n#### 3. Answer\nShe makes $18.", "18"),
    ("#### Solution\n" + STEPS + "\n#### 18", "18"),
    ("#### Solution\n" + STEPS, "18"),
    ("#### 18 #### 18 #### 18", "18"),
    ("#### 18\n#### 18.0", "18"),
    ("#### 18\nQuestion: how many are 5 and 6? 5+6=11 #### 11", "18"),
    ("#### 18\nQ: how many are 5 and 6? #### 11", "18"),
    ("#### 18\n\nProblem: 5 and 6?\n#### 11", "18"),
    ("#### 18\n\n**Question 2:** 5 and 6?\n\\boxed{11}", "18"),
    ("#### 18\n\u95ee\u9898\uff1a5\u52a06\uff1f\n#### 11", "18"),
    ("#### 18<|im_end|>\n<|im_start|>user\n#### 11", "18"),
    ("#### 20\nWait, I forgot the breakfast.\n#### 18", "18"),
    ("The answer is 20.\n#### 18", "18"),
    ("#### 9. #### 18", None),
    ("#### 18\nThe answer is 20.", None),
    ("#### 9 9", None),
    ("#### 18 or 20", None),
    ("#### 10-18", None),
    ("#### 3:30", None),
    ("#### 3 hours and 30 minutes", None),
]
BOXES = [
    (r"\boxed{18}", "18"),
    (r"$\boxed{18}$", "18"),
    (r"\boxed 18", "18"),
    (r"\fbox{18}", "18"),
    (r"\boxed{\boxed{18}}", "18"),
    (r"\boxed{\$18}", "18"),
    (r"\boxed{$18}", "18"),
    (r"\boxed{18\text{ dollars}}", "18"),
    (r"\boxed{18\,\text{eggs}}", "18"),
    (r"\boxed{\text{Total} = 18}", "18"),
    (r"\boxed{x = 18}", "18"),
    (r"\boxed{\textbf{18}}", "18"),
    (r"\boxed{\mathbf{18}}", "18"),
    (r"\boxed{\frac{36}{2}}", "18"),
    (r"\boxed{\dfrac{36}{2}}", "18"),
    (r"\boxed{18.0}", "18"),
    (r"\boxed{18\%}", "18"),
    (r"\boxed{18^\circ}", "18"),
    (r"\boxed{9 \times 2 = 18}", "18"),
    (r"\boxed{9} eggs are left, so she makes \boxed{18}", "18"),
    (r"Therefore \boxed{18} dollars. I hope I am 100 % sure", "18"),
    (r"The answer is $\boxed{18}$ dollars for 3 days.", "18"),
    (r"\boxed{18} and a cut off \boxed{2", "18"),
    ("<answer>18</answer>", "18"),
    ("<think>is it \\boxed{20}?</think>\nIt is \\boxed{18}", "18"),
    (r"\boxed{70{,}000}", "70000"),
    (r"\boxed{70,\!000}", "70000"),
    (r"\boxed{70\,000}", "70000"),
    (r"\boxed{70\ 000}", "70000"),
    (r"\boxed{7 \times 10^4}", "70000"),
    (r"\boxed{3\frac{1}{2}}", "7/2"),
    (r"\boxed{-\frac{7}{2}}", "-7/2"),
    (r"\boxed{9, 18}", None),
    (r"\boxed{9 \text{ and } 18}", None),
    (r"\boxed{\text{no solution}}", None),
    (r"\boxed{2\sqrt{3}}", None),
    (r"\boxed{9 \times 2}", None),
    (r"\boxed{18x}", None),
    (r"\boxed{(9, 18)}", None),
    (r"\boxed{20}. Sorry, that is wrong. Let me think again.", "20"),
    (r"\boxed{18}. The answer is 20.", None),
]
SENTENCES = [
    ("The answer is 18.", "18"),
    ("The answer is $18.", "18"),
    ("The answer is $18 for 3 days.", "18"),
    ("The answer is 18 because 16-7=9 and 9 x 2 = 18, not 20", "18"),
    ("The answer is 18, not 20.", "18"),
    ("The answer is not 20 but 18.", "18"),
    ("The answer isn't 20; it is 18.", "18"),
    ("The answer is 18 rather than 20.", "18"),
    ("The answer is 18. There were 3 of them at 20", "18"),
    ("The answer is 9 * 2 = $18 per day for 3 days", "18"),
    ("The answer is 18!", "18"),
    ("The answer is eighteen.", "18"),
    ("The answer is: 18", "18"),
    ("The answer is:\n\n18", "18"),
    ("The final answer is:\n$$\n18\n$$", "18"),
    ("The answer is **18**", "18"),
    ("**Answer:** 18", "18"),
    ("**Answer**\n\n18 dollars", "18"),
    ("### Final Answer\n$18", "18"),
    ("Answer: 18", "18"),
    ("answer = 18", "18"),
    ("ANSWER: $18.00", "18"),
    ("Ans: 18", "18"),
    ("Final answer: x = 18", "18"),
    ("The answer to question 3 is 18.", "18"),
    ("The answer, then, should be 18", "18"),
    ("The answer is that Janet makes $18 a day.", "18"),
    ("The answer is approx. 18", "18"),
    ("The answer is 18 per 3 days", "18"),
    ("The answer is 18/day.", "18"),
    ("The answer is 18kg", "18"),
    ("The answer is US$18", "18"),
    ("The answer is 18 USD", "18"),
    ("The answer is \u20ac18", "18"),
    ("The answer is Rs. 18", "18"),
    ("The answer is 18\u5143", "18"),
    ("18 is the answer.", "18"),
    ("So 18 dollars is the final answer", "18"),
    ("\u7b54\u6848\u662f18\u3002", "18"),
    ("\u7b54\u6848\uff1a\uff11\uff18\u5143", "18"),
    ("\u7b54\uff1a\u4e00\u517118\u5143\u3002", "18"),
    ("\u6240\u4ee5\u7b54\u6848\u4e3a $18$", "18"),
    ("The answer is 20. Wait, that is wrong. The answer is 18.", "18"),
    ("The answer is 20. Wait, no, it is 18.", "18"),
    ("The answer is 20. Actually, it should be 18.", "18"),
    ("The answer is 18. Wait, let me check. 9 * 2 = 18. Yes.", "18"),
    ("The answer is 9 eggs a day. The answer is 18 dollars.", "18"),
    ("The answer is 18.\n\nQ: And 5 and 6?\nA: The answer is 11.", "18"),
    ("The answer is 70,000.", "70000"),
    ("The answer is 70 000.", "70000"),
    ("The answer is 70\u202f000.", "70000"),
    ("The answer is 70\u2009000.", "70000"),
    ("The answer is 70'000.", "70000"),
    ("The answer is 70_000.", "70000"),
    ("The answer is \uff17\uff10\uff0c\uff10\uff10\uff10\u3002", "70000"),
    ("The answer is 1,00,000 rupees.", "100000"),
    ("The answer is 1.234.567", "1234567"),
    ("The answer is 70k.", "70000"),
    ("The answer is 7\u4e07", "70000"),
    ("The answer is 1.5 million", "1500000"),
    ("The answer is 7e4", "70000"),
    ("The answer is 7 x 10^4", "70000"),
    ("The answer is 7\u00d710\u2074", "70000"),
    ("The answer is -18", "-18"),
    ("The answer is \u221218", "-18"),
    ("The answer is \u201318", "-18"),
    ("The answer is -$18", "-18"),
    ("The answer is minus 18", "-18"),
    ("The answer is negative 18", "-18"),
    ("The answer is 3/4", "3/4"),
    ("The answer is 3 1/2", "7/2"),
    ("The answer is 2\u00bd", "5/2"),
    (r"The answer is $\frac{3}{4}$.", "3/4"),
    ("The answer is .5", "1/2"),
    ("The answer is 2.5 hours.", "5/2"),
    ("The answer is 50%.", "50"),
    ("The answer is ~~20~~ 18", "18"),
    ("The answer is <b>18</b>", "18"),
    ("The answer is 18 or 20.", None),
    ("The answer is 18 and 20.", None),
    ("The answer is between 18 and 20.", None),
    ("The answer is 18-20.", None),
    ("The answer is 18 to 20 dollars.", None),
    ("The answer is 3, 5, 18", None),
    ("The answer is 18 eggs and 3 days", None),
    ("The answer is 3:30", None),
    ("The answer is 3:5", None),
    ("The answer is 12/25/2020", None),
    ("The answer is 18,50", None),
    ("The answer is 9 x 2", None),
    ("The answer is less than 18", None),
    ("The answer is 18 out of 20", None),
    ("The answer is x = 9, y = 18", None),
    ("The answer is 16-7=9, 9*2=18", None),
    ("The answer is 20. No, wait. Each egg is 2, and 9 are left.", None),
]
PROSE = [
    (STEPS, "18"),
    ("He pays 18 dollars", "18"),
    ("So Janet makes 9 * 2 = $18 every day at the farmers' market.", "18"),
    ("Hence 18 = x.", "18"),
    ("9 * 2 = 18, so she makes $18.", "18"),
    ("She makes $18 every 3 days.", "18"),
    ("The 3 athletes ran 18 yards", "18"),
    ("Since 1 egg costs 2 dollars, she makes 18", "18"),
    ("18", "18"),
    ("$18", "18"),
    ("It takes 2.5 hours", "5/2"),
    ("It would take 18 minutes to groom 5 dogs and 3 cats.", None),
    ("It is 18 or 20", None),
    ("There is an H2O and a B52", None),
    ("...", None),
    ("", None),
    ("I do not know", None),
]
CASES = MARKS + BOXES + SENTENCES + PROSE


@pytest.mark.parametrize(("text", "number"), CASES, ids=range(len(CASES)))
def test_a_response_gives_its_number_or_none(text, number):
    assert extract_number(text) == number


@pytest.mark.parametrize(("text", "number"), CASES, ids=range(len(CASES)))
def test_steps_before_an_answer_change_nothing_about_it(text, number):
    if number and (text, number) not in PROSE:
        assert extract_number(f"There are 7 days and 12 ducks.\n{text}") == number


def test_the_table_is_as_wide_as_it_is_said_to_be():
    texts = [text for text, _ in CASES]
    assert len(texts) == len(set(texts)) >= 120


def test_a_number_of_any_length_ends_at_once():
    assert extract_number("#### " + "9" * 100_000) is None
    assert extract_number("#### 1e99") == str(10**99)
    assert extract_number("#### 1e999999999") is None
    assert parse_number("9^9^9^9^9") is None


@pytest.mark.parametrize(
    "noise", ["####" * 5000, r"\boxed{" * 5000, "answer " * 8000, "1," * 20000]
)
def test_a_text_that_never_ends_is_read_at_once(noise):
    assert extract_number(noise + " I do not know") is None
