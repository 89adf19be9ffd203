"""Hand-made outputs with their verdicts, through the filter and the judge each task file names."""

import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from kvdistill.evaluate.grading.extract import INVALID
from kvdistill.evaluate.harness import TASKS

RIGHT, WRONG, UNPARSED = "right", "wrong", "unparsed"

GSM8K = [
    (" 9+9=18. #### 18", "18", RIGHT),
    (" so it is $1,234.00 in all.\n#### 1,234", "1234", RIGHT),
    ("The answer is $18.", "18", RIGHT),
    ("Therefore \\boxed{18} dollars. I hope 100 % sure", "18", RIGHT),
    ("He pays 18 dollars", "18", RIGHT),
    ("#### 18.0", "18", RIGHT),
    ("#### 18 (9 eggs at $2)", "18", RIGHT),
    ("The answer is 18 because 16-7=9 and 9 x 2 = 18, not 20", "18", RIGHT),
    ("The answer is $18 for 3 days.", "18", RIGHT),
    (r"\boxed{70{,}000}", "70,000", RIGHT),
    (r"\boxed{70,\!000}", "70,000", RIGHT),
    ("#### Steps\n16-7=9\n#### 18", "18", RIGHT),
    ("The answer is 18 or 20", "18", UNPARSED),
    (r"\boxed{9, 18}", "18", UNPARSED),
    ("#### -3", "-3", RIGHT),
    ("**Answer:** 18", "18", RIGHT),
    ("2 + 16 = 18 #### 18\nQ: how many are 5 and 6? #### 11", "18", RIGHT),
    ("#### 5 + 13 = 18 eggs", "18", RIGHT),
    ("The answer is 18. There were 3 of them at 20", "18", RIGHT),
    ("#### 19", "18", WRONG),
    ("It takes 2.5 hours", "25", WRONG),
    ("about 180", "18", WRONG),
    ("...", "18", UNPARSED),
    ("", "18", UNPARSED),
    ("I do not know", "18", UNPARSED),
]
MATH = [
    (r"so $x = \boxed{\frac{3}{4}}$.", r"\frac{3}{4}", RIGHT),
    (r"#### 3/4", r"\frac{3}{4}", RIGHT),
    (r"The answer is $0.75$.", r"\frac{3}{4}", RIGHT),
    (r"\boxed{\dfrac34}", r"\frac{3}{4}", RIGHT),
    (r"\boxed{1,000}", "1000", RIGHT),
    (r"\boxed{0.50}", "0.5", RIGHT),
    (r"\boxed{7}? \boxed{\left(3, \frac{\pi}{2}\right)}", r"(3,\frac{\pi}{2})", RIGHT),
    (r"#### x^2 + 2x + 1", "1+2x+x^2", RIGHT),
    (r"The final answer is: $\boxed{2\sqrt{3}}$", r"\sqrt{12}", RIGHT),
    (r"**Answer: 12**", "12", RIGHT),
    (r"\boxed{\text{Evelyn}}", r"\text{Evelyn}", RIGHT),
    (r"\boxed{90^\circ}", r"90^\circ", RIGHT),
    (r"\boxed{5}", "6", WRONG),
    (r"\boxed{\frac{4}{3}}", r"\frac{3}{4}", WRONG),
    (r"\boxed{\text{no solution}}", "1", WRONG),
    (r"The answer is $x=5$ because $5>3$.", "5", RIGHT),
    (r"So $a+b$ is $\frac{3}{4}$.", r"\frac{3}{4}", RIGHT),
    (r"\boxed{204_6}", "204_5", WRONG),
    (r"\boxed{x \geq 5}", r"[5,\infty)", RIGHT),
    (r"The answer is Evelyn.", r"\text{Evelyn}", RIGHT),
    ("", "6", UNPARSED),
]  # fmt: skip
BBH = [
    ("The answer is (A).", "(A)", RIGHT),
    ("So the answer is (A)", "(A)", RIGHT),
    ("**(A)**.", "(A)", RIGHT),
    ("Answer: (A)", "(A)", RIGHT),
    ("The answer is: A", "(A)", RIGHT),
    ("#### (A) yesterday", "(A)", RIGHT),
    ("The correct answer is **A) red**", "(A)", RIGHT),
    ("(B) is out. (C) is out. Hence (A).", "(A)", RIGHT),
    ("A", "(A)", RIGHT),
    ("The answer is (B).", "(A)", WRONG),
    ("A red one, so it is (B)", "(A)", WRONG),
    ("not ( True ) is False. So the answer is False.", "False", RIGHT),
    ("the answer is **yes**.", "Yes", RIGHT),
    ("The argument is deductively valid.", "valid", RIGHT),
    ("The argument is not deductively valid.", "valid", WRONG),
    ("The answer is invalid", "valid", WRONG),
    ("#### 1,024", "1024", RIGHT),
    ("We count 3 and 4. The answer is 7.", "7", RIGHT),
    ("the answer is -12.", "12", WRONG),
    ("#### ant, bee, cow", "ant bee cow", RIGHT),
    ("The answer is ant cow bee", "ant bee cow", WRONG),
    ("So we need ] ). The answer is ] )", "] )", RIGHT),
    ("#### ] ]", "] )", WRONG),
    ("", "(A)", UNPARSED),
]
NANO = [
    (" 4+5=9. #### 9", "9", RIGHT),
    ("#### 9\n", "9", RIGHT),
    ("#### Ann", "Ann", RIGHT),
    ("#### ann ", "Ann", RIGHT),
    ("#### 09", "9", RIGHT),
    ("#### 9. #### 8", "9", UNPARSED),
    ("#### Bob", "Ann", WRONG),
    ("#### 9 9", "9", WRONG),
    (" 4+5=9.", "9", UNPARSED),
    ("####", "9", UNPARSED),
    ("", "9", UNPARSED),
]
GOLDEN = {
    "gsm8k": GSM8K, "gsm8k_direct": GSM8K, "math500": MATH, "math500_direct": MATH, "bbh": BBH,
    "nano_arithmetic": NANO, "nano_logic": NANO,
}  # fmt: skip


@pytest.mark.parametrize(
    ("task", "output", "gold", "verdict"),
    [(task, *case) for task, cases in GOLDEN.items() for case in cases],
)
def test_an_output_gets_its_verdict(task, output, gold, verdict):
    config = load_yaml(TASKS / f"{task}.yaml")
    extract = config["filter_list"][0]["filter"][0]["filter_fn"]
    doc = {"target": gold}
    (answer,) = extract([[output]], [doc])
    assert (answer == INVALID) is (verdict == UNPARSED)
    assert config["process_results"](doc, [answer]) == {"correct": float(verdict == RIGHT)}


EXAM = [
    (" C", "C", RIGHT),
    ("C. 北京", "C", RIGHT),
    ("答案是C。", "C", RIGHT),
    ("选C, 因为A不对", "C", RIGHT),
    ("北京", "C", RIGHT),
    ("The answer is C.", "C", RIGHT),
    ("B", "C", WRONG),
    ("A或C", "C", UNPARSED),
    ("不知道", "C", UNPARSED),
    ("", "C", UNPARSED),
]


@pytest.mark.parametrize("task", ["ceval_written", "cmmlu_written"])
@pytest.mark.parametrize(("output", "gold", "verdict"), EXAM)
def test_a_written_letter_gets_its_verdict(task, output, gold, verdict):
    config = load_yaml(TASKS / f"{task}.yaml")
    extract = config["filter_list"][0]["filter"][0]["filter_fn"]
    options = {"A": "上海", "B": "广州", "C": "北京", "D": "深圳"}
    doc = {"target": gold, "letters": list(options), "question": "首都是", **options}
    (answer,) = extract([[output]], [doc])
    assert (answer == INVALID) is (verdict == UNPARSED)
    assert config["process_results"](doc, [answer]) == {"correct": float(verdict == RIGHT)}


DIRECT_BBH = [
    (" (A)", "(A)", RIGHT),
    (" A", "(A)", RIGHT),
    (" True", "True", RIGHT),
    (" 7\nAnd then (B)", "7", RIGHT),
    (" True, and (B)", "True", RIGHT),
    (" The answer is (C)", "(C)", RIGHT),
    (" no, it is not", "No", RIGHT),
    (" ant bee cow\n", "ant bee cow", RIGHT),
    (" (B)", "(A)", WRONG),
    (" yes", "No", WRONG),
    ("\n", "No", UNPARSED),
]


@pytest.mark.parametrize(("output", "gold", "verdict"), DIRECT_BBH)
def test_an_answer_without_reasoning_stands_first(output, gold, verdict):
    test_an_output_gets_its_verdict("bbh_direct", output, gold, verdict)
