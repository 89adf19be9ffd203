"""Shuffled and random sources: what they replace, what they leave, and what they refuse."""

from dataclasses import replace

import pytest
import torch

from kvdistill.errors import UserError
from kvdistill.kv.base import TeacherKV
from kvdistill.kv.random import Random
from kvdistill.kv.shuffled import Shuffled
from kvdistill.types import KV, Layer, Tokens

IDS = ["a:cot", "b:cot", "c:direct"]


class Fake(TeacherKV):
    """Two layers of random K and V that depend on the text alone; NaN on padding."""

    def __init__(self):
        self.rotaries = {}

    def read(self, tokens, ids):
        return {at: self.layer(tokens, at) for at in (1, 4)}

    def layer(self, tokens, at):
        generator = torch.Generator().manual_seed(at)
        table = torch.randn(4, 99, 2 * 3, generator=generator)
        parts = []
        for part in table:
            x = part[tokens.ids].unflatten(2, (2, 3)).transpose(1, 2) + 5
            parts.append(x.masked_fill(~tokens.mask[:, None, :, None], torch.nan))
        keys, values, queries, rotated = parts
        return Layer(KV(keys, values, tokens.mask), tokens, queries, rotated)


def make(kind, **fields):
    return kind(
        torch.nn.Identity(),
        [1, 4],
        attention=True,
        rotary=False,
        of=lambda *_, **__: Fake(),
        **fields,
    )


def tokens(lengths=(5, 3, 4), more=0):
    seq = max(lengths) + more
    ids, mask = torch.zeros(len(lengths), seq, dtype=torch.long), torch.zeros(len(lengths), seq)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.arange(length) + 10 * (row + 1)
        mask[row, :length] = 1
    return Tokens(ids, mask.bool(), mask.bool() & (torch.arange(seq) > 1))


def test_each_text_faces_the_next_one_where_both_have_a_token():
    read, plain = make(Shuffled).read(tokens(), IDS), Fake().read(tokens(), IDS)
    for at, layer in read.items():
        assert layer.kv.mask.sum(dim=1).tolist() == [3, 3, 4]  # of 5 and 3, 3 and 4, 4 and 5
        assert layer.tokens.mask is layer.kv.mask
        assert torch.equal(layer.kv.keys[0, :, :3], plain[at].kv.keys[1, :, :3])
        assert torch.equal(layer.kv.values[2, :, :4], plain[at].kv.values[0, :, :4])
        assert torch.equal(layer.rotated_queries[1, :, :3], plain[at].rotated_queries[2, :, :3])
        assert torch.equal(layer.tokens.ids[0], tokens().ids[1])
        assert layer.kv.keys.isfinite().all(dim=(1, 3))[layer.kv.mask].all()


def test_another_style_of_the_same_row_is_no_other_text():
    read = make(Shuffled).read(tokens(), ["a:cot", "a:direct", "b:cot"])[1]
    assert torch.equal(read.tokens.ids[0], tokens().ids[2])
    alone = make(Shuffled).read(tokens(), ["a:x", "a:y", "a:z"])[1]
    assert not alone.kv.mask.any()


def test_a_micro_batch_of_one_text_cannot_be_shuffled():
    with pytest.raises(UserError, match=r"source=shuffled needs another text .*batch_size to"):
        make(Shuffled).read(tokens((5,)), ["a"])


def test_noise_has_the_texts_mean_and_covariance():
    long = tokens((80, 79))
    many = [make(Random, seed=seed).read(long, IDS)[1].kv.keys[0] for seed in range(150)]
    drawn = torch.cat([x.transpose(0, 1).flatten(1) for x in many])
    true = Fake().read(long, IDS)[1].kv.keys[0].transpose(0, 1).flatten(1)
    torch.testing.assert_close(drawn.mean(dim=0), true.mean(dim=0), atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), true.T.cov(correction=0), atol=0.1, rtol=0)


def test_noise_tells_nothing_of_the_token_it_stands_for():
    long = tokens((80, 79))
    drawn = make(Random, seed=0).read(long, IDS)[1].kv.values[0]
    true = Fake().read(long, IDS)[1].kv.values[0]
    both = [x.flatten(0, 0) - x.mean(dim=1, keepdim=True) for x in (drawn, true)]
    assert torch.cosine_similarity(*(x.flatten() for x in both), dim=0).abs() < 0.15


def test_noise_of_a_text_is_the_same_in_any_batch_and_at_any_padding():
    source = make(Random, seed=3)
    alone, whole = source.read(tokens((5,)), ["z"]), source.read(tokens(more=4), IDS)
    torch.testing.assert_close(whole[4].kv.keys[:1, :, :5], alone[4].kv.keys)
    other = make(Random, seed=4).read(tokens((5,)), ["z"])
    assert not torch.allclose(other[4].kv.keys, alone[4].kv.keys)


def test_what_compression_reads_stays_the_teachers_own():
    read, plain = make(Random, seed=0).read(tokens(), IDS)[1], Fake().read(tokens(), IDS)[1]
    assert torch.equal(read.rotated_keys.nan_to_num(), plain.rotated_keys.nan_to_num())
    assert read.tokens is not None
    assert read.kv.keys.isfinite().all(dim=(1, 3))[read.kv.mask].all()
    half = replace(plain.kv, keys=plain.kv.keys.bfloat16())
    assert half.keys.dtype == torch.bfloat16
