r"""Pairs of answers of MATH that math-verify takes for what they are not, and others it misses."""

import pytest

from kvdistill.evaluate.grading import math_equivalence
from kvdistill.evaluate.grading.math_forms import compare_forms, rewrite_signs

FORMS = [
    ("204_6", "204_5", False),
    ("204_{6}", "204_5", False),
    ("204_{5}", "204_5", True),
    ("(204)_5", "204_5", True),
    (r"204_{\text{five}}", "204_5", True),
    (r"204 \text{ base } 5", "204_5", True),
    ("999_{10} = 4343_6", "4343_6", True),
    ("205_5", "204_5", False),
    ("0204_5", "204_5", True),
    ("204", "204_5", True),
    ("2A_{16}", "2A_{16}", True),
    ("2B_{16}", "2A_{16}", False),
    ("54", "204_5", False),
    ("11_2", "11", False),
    ("11_{10}", "11", True),
    (r"10_2 + 10_3", "10_2 + 10_4", False),
    ("Evelyn", r"\text{Evelyn}", True),
    (r"\text{evelyn}", r"\text{Evelyn}", True),
    (r"$\text{Evelyn}$.", "Evelyn", True),
    ("Lee", r"\text{Evelyn}", False),
    ("seat", r"\text{east}", False),
    ("an ellipse", r"\text{ellipse}", True),
    (r"\mbox{ellipse}", r"\text{ellipse}", True),
    ("5", r"\text{ellipse}", False),
    ("A", r"\text{(A)}", True),
    ("(A)", r"\text{A}", True),
    (r"\text{(B)}", r"\text{(A)}", False),
    (r"10\%", "10", True),
    ("10", r"10\%", True),
    ("0.1", r"10\%", True),
    (r"5\%", "0.05", True),
    (r"50\%", r"\frac{1}{2}", True),
    (r"5\%", "0.5", False),
    (r"\{3, 4\}", "(3,4)", False),
    ("5", "5", None),
    ("2x+3", "3+2x", None),
    ("x_1", "x_1 + 1", None),
    (r"\log_2 8", "3", None),
]


@pytest.mark.parametrize(("response", "gold", "verdict"), FORMS)
def test_bases_words_and_percent_are_compared_as_they_are_meant(response, gold, verdict):
    assert compare_forms(response, gold) is verdict


@pytest.mark.parametrize(
    ("answer", "rewritten"),
    [
        (r"26\,000", "26000"),
        ("26 000", "26000"),
        ("x = 58,500", "x = 58500"),
        ("(1,234)", "(1,234)"),
        ("1, 234", "1, 234"),
        ("1 1/4", r"1\frac{1}{4}"),
        ("2\u221a3", r"2\sqrt{3}"),
        ("x**2", "x^2"),
        (r"\frac{1}{2}.", r"\frac{1}{2}"),
        ("90\u00b0", r"90^\circ"),
    ],
)
def test_spelling_is_rewritten_where_it_alone_is_in_the_way(answer, rewritten):
    assert rewrite_signs(answer) == rewritten


EQUAL = [
    (r"x \geq 5", r"[5,\infty)", True),
    (r"[5,\infty)", r"x \geq 5", True),
    (r"x > 5", r"[5,\infty)", False),
    (r"5 \le x", r"[5,\infty)", True),
    (r"-2 \le x \le 7", r"x \in [-2,7]", True),
    (r"[-2,7]", r"x \in [-2,7]", True),
    (r"x<2 \text{ or } x>3", r"(-\infty,2) \cup (3,\infty)", True),
    (r"x<2", r"(-\infty,2) \cup (3,\infty)", False),
    (r"1+\sqrt{19}, 1-\sqrt{19}", r"1 \pm \sqrt{19}", True),
    ("-2,1", "1,-2", True),
    ("(2,1)", "(1,2)", False),
    (r"\begin{bmatrix} 1 \\ 2 \end{bmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", True),
    ("2x+3", "y = 2x+3", True),
    ("137.5", r"137 \frac{1}{2}", True),
    ("90", r"90^\circ", True),
    ("-5i+6", "6 - 5i", True),
    ("0.333", r"\frac{1}{3}", False),
    ("5x - 7y + 11z + 4 = 0", "0", False),
    ("2k", "2n", False),
    (r"\pm 4", "4", False),
]


@pytest.mark.integration
def test_sets_inequalities_and_lists_are_compared_as_mathematics():
    verdicts = [math_equivalence.is_equivalent(response, gold) for response, gold, _ in EQUAL]
    math_equivalence.close_process()
    assert [pair for pair, verdict in zip(EQUAL, verdicts, strict=True) if pair[2] != verdict] == []
