"""The last map aligns the tops."""

import pytest

from kvdistill.errors import ConfigError
from kvdistill.layers.base import LayerPair
from kvdistill.layers.last import Last


def test_the_students_layers_read_the_teachers_last_ones():
    assert Last()((0, 2), student_layers=3, teacher_layers=7) == [
        LayerPair(0, 4, 4, 0.0),
        LayerPair(2, 6, 6, 0.0),
    ]


def test_a_shallower_teacher_is_refused():
    with pytest.raises(ConfigError, match=r"sends student layer 0 to teacher layer -2"):
        Last()((0, 1), student_layers=6, teacher_layers=4)
