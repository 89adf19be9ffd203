"""Weights of the terms as functions of how far training is."""

import pytest

from kvdistill.errors import ConfigError
from kvdistill.loss.schedule.base import TermFactors
from kvdistill.loss.schedule.kv_first import KVFirst
from kvdistill.loss.schedule.linear_ramp import LinearRamp
from kvdistill.loss.schedule.steady import Steady

POINTS = (0.0, 0.25, 0.5, 0.75, 1.0)


def test_a_steady_schedule_changes_nothing():
    assert {Steady().compute_factors(at) for at in POINTS} == {TermFactors(1.0, 1.0)}


def test_kv_comes_first_and_cross_entropy_from_its_share_on():
    schedule = KVFirst(share=0.5, ce_before=0.0, kv_after=0.1)
    factors = [schedule.compute_factors(at) for at in POINTS]
    assert factors == [TermFactors(0.0, 1.0)] * 2 + [TermFactors(1.0, 0.1)] * 3


@pytest.mark.parametrize(("steps", "share", "first"), [(4, 0.5, 2), (10, 0.3, 3), (7, 0.5, 4)])
def test_the_share_is_of_the_steps(steps, share, first):
    schedule = KVFirst(share=share, ce_before=0.0, kv_after=0.0)
    kv = [schedule.compute_factors(step / steps).kv for step in range(steps)]
    assert kv == [1.0] * first + [0.0] * (steps - first)


def test_a_ramp_is_a_straight_line_between_its_ends():
    ramp = LinearRamp(ce=[0.0, 1.0], kv=[2.0, 1.0])
    factors = [ramp.compute_factors(at) for at in POINTS]
    assert [each.ce for each in factors] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert [each.kv for each in factors] == pytest.approx([2, 1.75, 1.5, 1.25, 1])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: KVFirst(share=0.0, ce_before=0.0, kv_after=0.0), r"share=0\.0 must be above 0"),
        (lambda: KVFirst(share=1.0, ce_before=0.0, kv_after=0.0), r"share=1\.0 must be above 0"),
        (lambda: KVFirst(share=0.5, ce_before=-1.0, kv_after=0.0), r"ce_before=-1\.0 must be 0"),
        (lambda: KVFirst(share=0.5, ce_before=0.0, kv_after=-1.0), r"kv_after=-1\.0 must be 0"),
        (lambda: LinearRamp(ce=[1.0], kv=[1.0, 0.0]), r"ce=\[1\.0\] must be two factors"),
        (lambda: LinearRamp(ce=[1.0, 1.0], kv=[1.0, -0.5]), r"kv=-0\.5 must be 0 or more"),
    ],
)
def test_what_cannot_be_is_refused(build, message):
    with pytest.raises(ConfigError, match=rf"loss\.schedule\.{message}"):
        build()
