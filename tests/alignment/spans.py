"""Spans for the alignment tests: by eye from pieces of text, and drawn at random."""

import numpy as np
from hypothesis import strategies as st

from kvdistill.alignment.base import Spans


def spans(*pieces, begin=0):
    """Tokens that cover these pieces of a text one after the other; an empty one is special."""
    ends = np.cumsum([len(piece.encode()) for piece in pieces], dtype=int)
    return Spans(np.append(0, ends)[:-1], ends, begin)


def table(links, rows, columns):
    """The dense matrix of a few links."""
    dense = np.zeros((rows, columns))
    dense[links.student, links.teacher] = links.weight
    return dense


def matrix(student, teacher, causal=False):
    """The formula, literally: bytes shared over all bytes shared, row by row."""
    dense = np.zeros((len(student.starts), len(teacher.starts)))
    for i in range(len(student.starts)):
        for j in range(len(teacher.starts)):
            ours = set(range(student.starts[i], student.ends[i]))
            theirs = set(range(teacher.starts[j], teacher.ends[j]))
            if not causal or teacher.ends[j] <= student.ends[i]:
                dense[i, j] = len(ours & theirs)
        if dense[i].sum():
            dense[i] /= dense[i].sum()
    return dense


@st.composite
def any_spans(draw, size=24):
    """Tokens over at most `size` bytes, with gaps and empty tokens among them."""
    cuts = sorted(draw(st.lists(st.integers(0, size), max_size=14)))
    return Spans(np.array(cuts[0:-1:2], dtype=int), np.array(cuts[1::2], dtype=int))


@st.composite
def covering(draw, size=24):
    """Tokens that cover exactly `size` bytes, with empty ones among them."""
    cuts = sorted([0, size, *draw(st.lists(st.integers(0, size), max_size=14))])
    return Spans(np.array(cuts[:-1]), np.array(cuts[1:]))
