"""How far the bench calls a curve in half precision from one in float32."""

import pytest

from tests.bench.bf16_steps import compare_curves


def test_distances_are_shares_of_what_the_exact_curve_falls() -> None:
    """It falls by 2; one step is 0.2 off, and the mean of the last quarter 0.1."""
    exact = [4.0, 3.5, 3.0, 3.0, 3.0, 2.5, 2.0, 2.0]
    half = [4.2, 3.5, 3.0, 3.0, 3.0, 2.5, 2.0, 1.8]
    assert compare_curves(exact, half) == pytest.approx((10.0, 5.0))
