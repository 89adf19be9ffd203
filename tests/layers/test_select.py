"""Ranges of student layers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.errors import ConfigError
from kvdistill.layers.select import select_layers


@pytest.mark.parametrize(
    ("text", "layers", "start", "stop"),
    [
        ("all", 28, 0, 28),
        ("0-12", 28, 0, 12),
        ("12-24", 28, 12, 24),
        ("0-28", 28, 0, 28),
        ("0/28-12/28", 28, 0, 12),
        ("12/28-24/28", 28, 12, 24),
        ("0/28-28/28", 28, 0, 28),
        ("0/28-12/28", 15, 0, 6),  # 6.43
        ("12/28-24/28", 15, 6, 13),  # 6.43 to 12.86
        ("0/28-12/28", 4, 0, 2),  # 1.71
        ("12/28-24/28", 4, 2, 3),  # 1.71 to 3.43
        ("0/2-1/2", 7, 0, 4),  # 3.5 is rounded up
        ("27/28-28/28", 2, 1, 2),  # rounds to 2-2, of which the last layer is left
        ("0/28-12/28", 1, 0, 1),  # rounds to 0-0, of which the first layer is left
        (" 1 - 3 ", 4, 1, 3),
    ],
)
def test_a_range_names_its_layers(text, layers, start, stop):
    assert select_layers(text, layers) == tuple(range(start, stop))


@pytest.mark.parametrize("text", ["0-29", "12-12", "13-12", "30-31"])
def test_a_range_outside_the_student_is_refused_with_its_depth(text):
    with pytest.raises(ConfigError, match=rf"layers\.range={text} .* 28 layers"):
        select_layers(text, 28)


@pytest.mark.parametrize("text", ["12/28-0/28", "0/28-29/28", "3/28-3/28"])
def test_fractions_that_do_not_rise_to_at_most_one_are_refused(text):
    with pytest.raises(ConfigError, match=rf"layers\.range={text} must rise.*28 layers"):
        select_layers(text, 28)


@pytest.mark.parametrize("text", ["", "first", "12", "-3-4", "0-12/28", "0/0-1/2", "0.0-0.5", 7])
def test_anything_else_is_refused_with_the_forms_there_are(text):
    with pytest.raises(ConfigError, match=r"layers\.range=.*28 layers.*half-open"):
        select_layers(text, 28)


@settings(deadline=None, derandomize=True)
@given(
    layers=st.integers(1, 100),
    depth=st.integers(1, 100),
    cuts=st.lists(st.integers(0, 100), min_size=2, max_size=2, unique=True),
)
def test_fractions_are_never_empty_and_stay_inside_any_student(layers, depth, cuts):
    low, high = sorted(min(cut, depth) for cut in cuts)
    if low == high:
        return
    selected = select_layers(f"{low}/{depth}-{high}/{depth}", layers)
    assert selected == tuple(range(selected[0], selected[-1] + 1))
    assert selected[0] >= 0
    assert selected[-1] < layers


@settings(deadline=None, derandomize=True)
@given(layers=st.integers(2, 100), cut=st.integers(1, 27))
def test_neighbouring_fractions_meet_without_a_gap(layers, cut):
    low, high = select_layers(f"0/28-{cut}/28", layers), select_layers(f"{cut}/28-28/28", layers)
    assert set(low) | set(high) == set(range(layers))
