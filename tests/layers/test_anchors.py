"""Anchored maps run along lines."""

import pytest

from kvdistill.errors import ConfigError
from kvdistill.layers.anchors import Anchors
from kvdistill.layers.base import LayerPair


def test_every_other_layer_reads_where_it_came_from():
    sources = Anchors(anchors={0: 0, 14: 28})(
        tuple(range(15)), student_layers=15, teacher_layers=30
    )
    assert sources == [LayerPair(layer, 2 * layer, 2 * layer, 0.0) for layer in range(15)]


@pytest.mark.parametrize(
    ("layer", "at"),
    [(0, 0.0), (1, 1.0), (2, 2.0), (4, 5.0), (5, 6.5), (6, 8.0), (7, 9.5), (8, 11.0)],
)
def test_lines_run_between_the_anchors_and_beyond_the_last(layer, at):
    anchors = Anchors(anchors={6: 8, 2: 2, 1: 1})  # in any order
    assert anchors.map_layer(layer, student_layers=9, teacher_layers=12) == at


def test_a_string_is_the_same_map():
    text = Anchors(anchors=" 0:0, 14 : 28 ")
    assert text.anchor_map == Anchors(anchors={0: 0, 14: 28}).anchor_map == {0: 0, 14: 28}


def test_a_line_that_leaves_the_teacher_is_refused():
    with pytest.raises(ConfigError, match=r"student layer 24 to teacher layer 48.*0 to 47"):
        Anchors(anchors={0: 0, 14: 28})(tuple(range(28)), student_layers=28, teacher_layers=48)


@pytest.mark.parametrize("anchors", [{}, {0: 0}, "", "0:0", "0-0, 14-28"])
def test_fewer_than_two_readable_anchors_are_refused(anchors):
    with pytest.raises(ConfigError, match=r"layers\.map\.anchors=.* at least two"):
        Anchors(anchors=anchors)
