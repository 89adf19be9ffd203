"""Spans, and the linear-time list of overlapping pairs."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings

from kvdistill.alignment.base import Spans, find_overlaps
from kvdistill.errors import UserError
from tests.alignment.spans import any_spans, covering, spans


@pytest.mark.integration
@settings(deadline=None, derandomize=True, max_examples=300)
@given(student=any_spans(), teacher=any_spans())
def test_a_loop_over_all_pairs_of_tokens_agrees(student, teacher):
    expected = []
    for i in range(len(student.starts)):
        for j in range(len(teacher.starts)):
            low = max(student.starts[i], teacher.starts[j])
            shared = min(student.ends[i], teacher.ends[j]) - low
            if shared > 0:
                expected.append((i, j, shared))
    assert list(zip(*find_overlaps(student, teacher), strict=True)) == expected


@settings(deadline=None, derandomize=True)
@given(student=covering(), teacher=covering())
def test_bytes_shared_are_the_bytes_of_the_text(student, teacher):
    assert find_overlaps(student, teacher)[2].sum() == 24


@settings(deadline=None, derandomize=True)
@given(student=any_spans(), teacher=any_spans())
def test_pairs_form_a_staircase(student, teacher):
    i, j, _ = find_overlaps(student, teacher)
    assert (np.diff(i) >= 0).all()
    assert (np.diff(j) >= 0).all()
    assert (np.diff(i) + np.diff(j) > 0).all()


def test_character_offsets_that_repeat_are_refused():
    # Three pieces of one emoji, each with the character's own offsets.
    with pytest.raises(UserError, match="token 1 covers bytes 0 to 4"):
        Spans(np.array([0, 0, 0]), np.array([4, 4, 4]))


def test_a_backward_span_is_refused():
    with pytest.raises(UserError, match="token 0 covers bytes 3 to 1"):
        Spans(np.array([3]), np.array([1]))


def test_an_empty_token_may_stand_anywhere_between_the_others():
    assert len(spans("", "a", "", "b", "").starts) == 5


def long(seq, width):
    ends = np.arange(1, seq + 1) * width
    return Spans(ends - width, ends)


def test_memory_grows_with_the_sum_of_lengths_not_their_product():
    student, teacher = long(8192, 4), long(8192, 5)
    tracemalloc.start()
    find_overlaps(student, teacher)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8192 * 1024  # the dense matrix alone is 8192 x 8192 bytes and more


def test_time_is_linear():
    def seconds(seq):
        student, teacher = long(seq, 4), long(seq, 5)
        best = float("inf")
        for _ in range(20):
            start = time.process_time()
            find_overlaps(student, teacher)
            best = min(best, time.process_time() - start)
        return best

    # 16 times the tokens; a product would cost 256 times the time.
    assert seconds(8192) < 64 * seconds(512)
