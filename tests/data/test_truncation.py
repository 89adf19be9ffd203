"""Texts that lose their answer are counted, told, and refused above the stated share."""

import pytest

from kvdistill.data.truncation import Truncation
from kvdistill.errors import ConfigError

CUT = Truncation(texts=200, truncated=60, unanswered=20)


def test_the_sentence_has_both_shares():
    assert CUT.describe("val", 64) == (
        "budget.seq_len=64 cuts 60 of 200 texts of val (30.0%) and leaves 20 (10.0%) without one "
        "answer token"
    )


def test_texts_without_an_answer_are_refused_above_the_stated_share_alone():
    CUT.check_unanswered("val", 64, 0.1)
    with pytest.raises(ConfigError, match=r"20 \(10.0%\) .* above budget.max_unanswered=0.09"):
        CUT.check_unanswered("val", 64, 0.09)
