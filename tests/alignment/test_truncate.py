"""Truncate: token i to token i, whatever they say."""

import numpy as np
import pytest

from kvdistill.alignment.truncate import Truncate
from tests.alignment.spans import spans

truncate = Truncate()


@pytest.mark.parametrize(
    ("student", "teacher"), [(("a", "b", "c"), ("ab", "c")), (("ab", "c"), ("a", "b", "c"))]
)
def test_indices_are_linked_up_to_the_shorter_side(student, teacher):
    links = truncate(spans(*student), spans(*teacher))
    assert links.student.tolist() == links.teacher.tolist() == [0, 1]
    assert links.weight.tolist() == [1, 1]
    assert links.weight.dtype == np.float32


def test_a_text_without_tokens_has_no_links():
    assert len(truncate(spans(), spans("a")).weight) == 0


@pytest.mark.parametrize(("own", "other"), [(0, 1), (1, 0), (1, 1)])
def test_bos_shifts_nothing_and_is_linked_to_nothing(own, other):
    text = ("a", "b", "c", "")
    student, teacher = (spans(*[""] * begin, *text, begin=begin) for begin in (own, other))
    links = truncate(student, teacher)
    assert (links.student - own).tolist() == (links.teacher - other).tolist() == [0, 1, 2, 3]
