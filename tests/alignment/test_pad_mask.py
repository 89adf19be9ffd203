"""Pad and mask: token i to token i where they share text."""

import pytest

from kvdistill.alignment.pad_mask import PadMask
from tests.alignment.spans import spans

pad_mask = PadMask()


def test_pairs_that_have_drifted_apart_are_masked():
    # a|b|c against ab|c: index 1 pairs "b" with "c".
    links = pad_mask(spans("a", "b", "c"), spans("ab", "c"))
    assert links.student.tolist() == links.teacher.tolist() == [0]


def test_special_tokens_are_masked():
    links = pad_mask(spans("", "a", ""), spans("", "a", ""))
    assert links.student.tolist() == [1]
    assert links.weight.tolist() == [1]


@pytest.mark.parametrize(("own", "other"), [(0, 1), (1, 0), (1, 1)])
def test_bos_shifts_nothing_and_is_linked_to_nothing(own, other):
    student, teacher = (spans(*[""] * n, "a", "b", "", begin=n) for n in (own, other))
    links = pad_mask(student, teacher)
    assert (links.student - own).tolist() == (links.teacher - other).tolist() == [0, 1]


def test_touching_tokens_share_no_byte():
    assert len(pad_mask(spans("a", "b"), spans("", "a")).weight) == 0
