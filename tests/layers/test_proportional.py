"""The proportional map keeps both ends."""

import pytest

from kvdistill.layers.base import LayerPair
from kvdistill.layers.proportional import Proportional


def test_three_layers_on_four_by_eye():
    assert Proportional()((0, 1, 2), student_layers=3, teacher_layers=4) == [
        LayerPair(0, 0, 0, 0.0),
        LayerPair(1, 1, 2, 0.5),
        LayerPair(2, 3, 3, 0.0),
    ]


@pytest.mark.parametrize("teacher_layers", [28, 32, 48, 64, 80])
def test_both_endpoints_are_reached_at_the_studys_depths(teacher_layers):
    # The floor map l * L_t // L_s ends at layer 46 of 48 and 77 of 80.
    first, last = Proportional()((0, 27), student_layers=28, teacher_layers=teacher_layers)
    assert first == LayerPair(0, 0, 0, 0.0)
    assert last == LayerPair(27, teacher_layers - 1, teacher_layers - 1, 0.0)


def test_equal_depths_are_the_identity():
    sources = Proportional()(tuple(range(28)), student_layers=28, teacher_layers=28)
    assert sources == [LayerPair(layer, layer, layer, 0.0) for layer in range(28)]


def test_a_student_of_one_layer_reads_the_teachers_last():
    assert Proportional()((0,), student_layers=1, teacher_layers=6) == [LayerPair(0, 5, 5, 0.0)]


def test_a_teacher_of_one_layer_is_read_by_all():
    sources = Proportional()((0, 1, 2), student_layers=3, teacher_layers=1)
    assert [source.teacher_layers for source in sources] == [(0,)] * 3


def test_the_literal_formula():
    for student_layers in range(2, 12):
        for teacher_layers in range(1, 12):
            for layer in range(student_layers):
                at = Proportional().map_layer(
                    layer, student_layers=student_layers, teacher_layers=teacher_layers
                )
                ratio = (teacher_layers - 1) / (student_layers - 1)
                assert at == pytest.approx(layer * ratio)
