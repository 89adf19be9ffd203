"""The nearest map reads one layer."""

from kvdistill.layers.nearest import Nearest


def positions(students, teachers):
    sources = Nearest()(tuple(range(students)), student_layers=students, teacher_layers=teachers)
    assert all(source.weight == 0 for source in sources)
    return [source.low for source in sources]


def test_by_eye():
    assert positions(4, 6) == [0, 2, 3, 5]  # 0, 1.67, 3.33, 5


def test_halves_are_rounded_up_everywhere():
    assert positions(3, 4) == [0, 2, 3]  # 1.5; half to even would also give 2
    assert positions(3, 6) == [0, 3, 5]  # 2.5; half to even would give 2
