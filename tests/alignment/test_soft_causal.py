"""Soft alignment without teacher tokens that have read further than the student's."""

import numpy as np
from hypothesis import given, settings

from kvdistill.alignment.soft_causal import SoftCausal
from tests.alignment.spans import any_spans, covering, matrix, spans, table

causal = SoftCausal()


def test_a_packed_number_is_seen_only_at_its_last_digit():
    links = causal(spans("x", "2", "0", "1"), spans("x", "201"))
    np.testing.assert_array_equal(table(links, 4, 2), [[1, 0], [0, 0], [0, 0], [0, 1]])


def test_what_is_left_of_a_row_is_renormalised():
    # "believ" reads 1 byte of "unb", 2 of "el" and 3 of "ievable", which ends later.
    links = causal(spans("un", "believ", "able"), spans("unb", "el", "ievable"))
    np.testing.assert_allclose(table(links, 3, 3)[1], [1 / 3, 2 / 3, 0], rtol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(student=any_spans(), teacher=any_spans())
def test_the_literal_formula_agrees(student, teacher):
    dense = table(causal(student, teacher), len(student.starts), len(teacher.starts))
    np.testing.assert_allclose(dense, matrix(student, teacher, causal=True), atol=1e-6)


@settings(deadline=None, derandomize=True)
@given(student=any_spans(), teacher=any_spans())
def test_no_link_reads_the_future(student, teacher):
    links = causal(student, teacher)
    assert (teacher.ends[links.teacher] <= student.ends[links.student]).all()


@settings(deadline=None, derandomize=True)
@given(same=covering())
def test_a_tokenizer_with_itself_is_the_identity(same):
    links = causal(same, same)
    assert links.student.tolist() == links.teacher.tolist()
    assert len(links.student) == (same.ends > same.starts).sum()
