"""The reversed map, a control."""

from kvdistill.layers.proportional import Proportional
from kvdistill.layers.reversed import Reversed


def test_the_first_layer_faces_the_last_and_the_last_the_first():
    sources = Reversed()((0, 1, 2, 3), student_layers=4, teacher_layers=7)
    assert [(s.low, s.high, s.weight) for s in sources] == [
        (6, 6, 0), (4, 4, 0), (2, 2, 0), (0, 0, 0),
    ]  # fmt: skip


def test_it_mirrors_the_proportional_map():
    shape = {"student_layers": 5, "teacher_layers": 8}
    ours, theirs = Reversed(), Proportional()
    for layer in range(5):
        assert ours.map_layer(layer, **shape) == theirs.map_layer(4 - layer, **shape)
