"""Two tokenizers on a sample: bytes, ends and links, checked against a slow count."""

from typing import Any

import numpy as np
import pytest

from kvdistill.alignment.soft import Soft
from kvdistill.data.tokenise import Tokeniser
from kvdistill.models.nano_tokenizer import train_tokenizer
from kvdistill.train.adoption.pair_tokens import SAMPLES, mark_bytes, pair_tokens, render_samples


@pytest.fixture(scope="module")
def tokenisers() -> dict[str, Tokeniser]:
    """One that packs three digits and one that splits them."""
    return {
        name: Tokeniser(train_tokenizer(SAMPLES, 400, digits), name)
        for name, digits in (("packs", 3), ("splits", 1))
    }


def cut(tokeniser: Tokeniser, text: str) -> list[int]:
    """Where tokens end, by their bytes."""
    ids = tokeniser.tokenizer(text, add_special_tokens=False).input_ids
    return np.cumsum([len(tokeniser.token_bytes[i] or b"") for i in ids]).tolist()


def test_a_tokenizer_beside_itself_shares_all_and_leaks_nothing(tokenisers: Any) -> None:
    pairing = pair_tokens(tokenisers["packs"], tokenisers["packs"], Soft())
    assert (pairing.shared_bytes, pairing.common_ends, pairing.teacher_tokens) == (1, 1, 1)
    assert (pairing.rates["coverage"], pairing.rates["leak"]) == (1, 0)


def test_shares_are_those_of_a_slow_count(tokenisers: Any) -> None:
    own, other = tokenisers["splits"], tokenisers["packs"]
    ends = [(cut(own, text), cut(other, text)) for text in SAMPLES]
    common = sum(len(set(a) & set(b)) for a, b in ends)
    counts = [sum(len(each) for each in side) for side in zip(*ends, strict=True)]
    pairing = pair_tokens(own, other, Soft())
    assert pairing.common_ends == pytest.approx(common / counts[0])
    assert pairing.teacher_tokens == pytest.approx(counts[1] / counts[0])
    assert pairing.teacher_tokens < 1
    assert pairing.rates["tokens"] == counts[0]
    # A packed number ends behind its first digits: these read ahead.
    assert pairing.rates["digit_leak"] > 0.1


def test_bytes_under_a_token_are_marked(tokenisers: Any) -> None:
    (text, *_) = tokenisers["packs"](render_samples())
    size = len(SAMPLES[0].encode())
    assert mark_bytes(text, size).all()
    half = text.truncate(len(text.ids) // 2)
    assert mark_bytes(half, size).sum() == half.spans.ends[-1]
