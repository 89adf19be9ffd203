"""From positions to sources."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.errors import ConfigError
from kvdistill.layers.base import LayerMap, LayerPair
from kvdistill.layers.last import Last
from kvdistill.layers.nearest import Nearest
from kvdistill.layers.proportional import Proportional


@dataclass(frozen=True, kw_only=True)
class At(LayerMap):
    where: float

    def map_layer(self, layer, *, student_layers, teacher_layers):
        return self.where


def test_a_fractional_position_lies_between_two_layers():
    assert At(where=2.25)((5,), student_layers=8, teacher_layers=4) == [LayerPair(5, 2, 3, 0.25)]


def test_a_whole_position_reads_one_layer():
    (source,) = At(where=3.0)((5,), student_layers=8, teacher_layers=4)
    assert source == LayerPair(5, 3, 3, 0.0)
    assert source.teacher_layers == (3,)


@pytest.mark.parametrize("where", [-1.0, -0.5, 3.5, 4.0])
def test_a_position_outside_the_teacher_is_refused(where):
    with pytest.raises(ConfigError, match=rf"layers\.map sends .* 5 to .* {where:g}, .* 0 to 3"):
        At(where=where)((5,), student_layers=8, teacher_layers=4)


@settings(deadline=None, derandomize=True)
@given(students=st.integers(1, 100), teachers=st.integers(1, 100))
@pytest.mark.parametrize("layer_map", [Proportional(), Nearest(), Last()])
def test_sources_stay_inside_the_teacher_in_order_and_weights_in_bounds(
    layer_map, students, teachers
):
    if isinstance(layer_map, Last) and teachers < students:
        return
    sources = layer_map(tuple(range(students)), student_layers=students, teacher_layers=teachers)
    assert [source.student_layer for source in sources] == list(range(students))
    for source in sources:
        assert 0 <= source.low <= source.high <= teachers - 1
        assert 0 <= source.weight < 1
        assert (source.high == source.low) == (source.weight == 0)
    positions = [source.low + source.weight for source in sources]
    assert positions == sorted(positions)
    assert positions[-1] == teachers - 1
