"""Sync: only where both tokenizations end a token at the same byte."""

import numpy as np
from hypothesis import given, settings

from kvdistill.alignment.sync import Sync
from tests.alignment.spans import any_spans, covering, spans

sync = Sync()


def test_only_common_boundaries_are_linked():
    # ends 1 2 4 5 against 2 3 5
    links = sync(spans("a", "b", "cd", "e"), spans("ab", "c", "de"))
    assert links.student.tolist() == [1, 3]
    assert links.teacher.tolist() == [0, 2]
    assert links.weight.tolist() == [1, 1]


def test_a_special_token_at_a_boundary_is_not_linked():
    links = sync(spans("ab", ""), spans("", "ab", ""))
    assert (links.student.tolist(), links.teacher.tolist()) == ([0], [1])


@settings(deadline=None, derandomize=True, max_examples=200)
@given(student=any_spans(), teacher=any_spans())
def test_a_loop_over_all_pairs_agrees(student, teacher):
    expected = [
        (i, j)
        for i in range(len(student.ends))
        for j in range(len(teacher.ends))
        if student.ends[i] == teacher.ends[j]
        and student.ends[i] > student.starts[i]
        and teacher.ends[j] > teacher.starts[j]
    ]
    links = sync(student, teacher)
    assert list(zip(links.student, links.teacher, strict=True)) == expected


@settings(deadline=None, derandomize=True)
@given(student=covering(), teacher=covering())
def test_the_end_of_the_text_is_always_common(student, teacher):
    links = sync(student, teacher)
    assert student.ends[links.student[-1]] == teacher.ends[links.teacher[-1]] == 24
    assert (np.diff(links.teacher) > 0).all()
