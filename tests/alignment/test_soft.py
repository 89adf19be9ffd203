"""Soft alignment: each student token reads the teacher tokens under its bytes."""

import numpy as np
from hypothesis import given, settings

from kvdistill.alignment.soft import Soft
from tests.alignment.spans import any_spans, covering, matrix, spans, table

soft = Soft()


def test_unbelievable_by_eye():
    links = soft(spans("un", "believ", "able"), spans("unbel", "ievable"))
    expected = [[1, 0], [3 / 6, 3 / 6], [0, 1]]
    np.testing.assert_allclose(table(links, 3, 2), expected, rtol=1e-6)
    assert links.weight.dtype == np.float32


def test_a_split_character_is_counted_in_bytes():
    # The three bytes of one Chinese character, split after the second.
    links = soft(spans("\u4e2d", "."), spans("ab", "c", "."))
    np.testing.assert_allclose(table(links, 2, 3), [[2 / 3, 1 / 3, 0], [0, 0, 1]], rtol=1e-6)


def test_special_tokens_have_no_link():
    links = soft(spans("", "ab", ""), spans("", "", "ab", ""))
    assert (links.student.tolist(), links.teacher.tolist()) == ([1], [2])


def test_a_token_across_the_prompts_end_reads_both_sides():
    # "A:" | " 7" for the student, "A: " | "7" for the teacher.
    links = soft(spans("A:", " 7"), spans("A: ", "7"))
    np.testing.assert_allclose(table(links, 2, 2), [[1, 0], [0.5, 0.5]])


@settings(deadline=None, derandomize=True, max_examples=200)
@given(student=any_spans(), teacher=any_spans())
def test_the_literal_formula_agrees_and_rows_sum_to_one_or_are_masked(student, teacher):
    dense = table(soft(student, teacher), len(student.starts), len(teacher.starts))
    np.testing.assert_allclose(dense, matrix(student, teacher), atol=1e-6)
    sums = dense.sum(axis=1)
    assert np.all((np.abs(sums - 1) < 1e-6) | (sums == 0))


@settings(deadline=None, derandomize=True)
@given(same=covering())
def test_a_tokenizer_with_itself_is_the_identity(same):
    links = soft(same, same)
    with_text = np.flatnonzero(same.ends > same.starts)
    assert links.student.tolist() == links.teacher.tolist() == with_text.tolist()
    assert (links.weight == 1).all()


@settings(deadline=None, derandomize=True)
@given(student=covering(), teacher=covering())
def test_every_token_with_text_is_matched_if_both_cover_the_text(student, teacher):
    links = soft(student, teacher)
    assert set(links.student) == set(np.flatnonzero(student.ends > student.starts))


def test_two_texts_without_tokens_have_no_links():
    assert len(soft(spans(), spans("ab")).weight) == len(soft(spans(), spans()).weight) == 0
