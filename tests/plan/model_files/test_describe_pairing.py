"""What is said of a pair: layers by the command's map, widths, and tokens or why there are none."""

from collections.abc import Callable
from typing import Any

from kvdistill.plan.model_files.describe_pairing import (
    describe_pair,
    describe_ranges,
    describe_tokens,
)
from tests.train.conftest import STUDENT, composed

__all__ = ["composed"]
RATES = {"coverage": 1.0, "leak": 0.25, "digit_coverage": 0.5, "digit_leak": 0.125}
TOKENS = {
    "shared_bytes": 0.75, "common_ends": 0.5, "teacher_tokens": 1.2, "rates": RATES, "same": False
}  # fmt: skip


def test_layers_and_widths_are_those_of_the_pair(composed: Callable[..., Any]) -> None:
    config = composed()
    lines = list(describe_pair(config, config["teachers"]["a"], {"fault": "none yet"}))
    depth = STUDENT["layers"]
    assert lines[1].startswith(f"  layers: {depth} of the student's {depth} read ")
    assert "of the teacher's 6 (layers/map=proportional): 0, 2-3, 5" in lines[1]
    assert "a projection must change the width" in lines[2]
    assert lines[3] == "  tokens: not compared: none yet"
    same = {**config["teachers"]["a"], "geometry": STUDENT}
    assert "in both" in list(describe_pair(config, same, TOKENS))[2]


def test_a_map_that_no_such_teacher_has_is_said_to_be_refused(composed: Callable[..., Any]) -> None:
    config = composed("layers/map=last")
    shallow = {**config["teachers"]["a"], "geometry": {**STUDENT, "layers": 1}}
    assert list(describe_pair(config, shallow, TOKENS))[1].startswith("  layers: refused: ")


def test_tokens_are_said_in_shares() -> None:
    line = describe_tokens(TOKENS, "soft")
    assert line.startswith("two tokenizers; on a sample text they share 75.0% of its bytes, 50.0%")
    assert "1.20 teacher tokens a student token" in line
    assert "covers 100.0% of the student's tokens and lets 25.0% read ahead (50.0% and" in line


def test_numbers_that_follow_each_other_are_one() -> None:
    assert describe_ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert describe_ranges([]) == ""
