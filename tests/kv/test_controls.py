"""Shuffled and random sources: what they replace, what they leave, and what they refuse."""

import pytest
import torch

from kvdistill.compression.full import Full
from kvdistill.compression.keep_last import KeepLast
from kvdistill.errors import UserError
from kvdistill.kv.base import TeacherKV, TeacherRequest, compress_layers
from kvdistill.kv.random import Random
from kvdistill.kv.shuffled import Shuffled
from kvdistill.layers.base import LayerPair
from kvdistill.types import KV, Layer

IDS = ["a:cot", "b:cot", "c:direct"]
SOURCES = [LayerPair(0, 1, 1, 0.0), LayerPair(1, 1, 4, 0.5)]


class Fake(TeacherKV):
    """Two layers of random K and V that depend on the text alone; NaN on padding."""

    def __init__(self, wanted):
        self.wanted, self.rotaries = wanted, {}

    def read(self, tokens, ids):
        layers = {at: self.layer(tokens, at) for at in (1, 4)}
        return compress_layers(layers, self.wanted.sources, self.wanted.press)

    def layer(self, tokens, at):
        generator = torch.Generator().manual_seed(at)
        table = torch.randn(2, 99, 2 * 3, generator=generator)
        parts = []
        for part in table:
            x = part[tokens.ids].unflatten(2, (2, 3)).transpose(1, 2) + 5
            parts.append(x.masked_fill(~tokens.mask[:, None, :, None], torch.nan))
        return Layer(KV(*parts, tokens.mask), tokens)


def wanted(press=None):
    return TeacherRequest(
        load_body=torch.nn.Identity,
        layer_pairs=SOURCES,
        compression=press or Full(),
        needs_rotary=False,
    )


def make(kind, press=None, **fields):
    return kind(wanted(press), of=Fake, **fields)


def plain(read, press=None):
    (kept,) = Fake(wanted(press)).read(read, IDS)
    return kept


def at(kept, row, token):
    """What stands for a token: keys and values of both layers; None where nothing does."""
    found = int(kept.rows[row, token])
    return None if found < 0 else kept.flat[found]


def tokens(lengths=(5, 3, 4), more=0):
    seq = max(lengths) + more
    ids, mask = torch.zeros(len(lengths), seq, dtype=torch.long), torch.zeros(len(lengths), seq)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.arange(length) + 10 * (row + 1)
        mask[row, :length] = 1
    from kvdistill.types import Tokens

    return Tokens(ids, mask.bool(), mask.bool() & (torch.arange(seq) > 1))


def test_each_text_faces_the_next_one_where_both_have_a_token():
    (read,), true = make(Shuffled).read_kv(tokens(), IDS), plain(tokens())
    assert (read.row_of_token >= 0).sum(dim=1).tolist() == [3, 3, 4]  # of 5 and 3, 3 and 4, 4 and 5
    for row, other in ((0, 1), (1, 2), (2, 0)):
        for token in range(3):
            assert torch.equal(at(read, row, token), at(true, other, token))
    assert at(read, 0, 3) is None
    assert list(read.layer_pairs) == SOURCES


def test_the_student_is_compared_where_the_true_teacher_kept_a_token():
    press = KeepLast(keep=2)
    (read,), true = make(Shuffled, press).read_kv(tokens(), IDS), plain(tokens(), press)
    assert torch.equal(read.row_of_token >= 0, true.row_of_token >= 0)
    assert torch.equal(at(read, 0, 3), at(true, 1, 1))
    assert torch.equal(at(read, 0, 4), at(true, 1, 2))
    assert torch.equal(read.positions[read.row_of_token[0, 3:]], torch.tensor([1, 2]))


def test_another_style_of_the_same_row_is_no_other_text():
    (read,) = make(Shuffled).read_kv(tokens(), ["a:cot", "a:direct", "b:cot"])
    assert torch.equal(at(read, 0, 0), at(plain(tokens()), 2, 0))
    (alone,) = make(Shuffled).read_kv(tokens(), ["a:x", "a:y", "a:z"])
    assert (alone.row_of_token < 0).all()


def test_a_micro_batch_of_one_text_cannot_be_shuffled():
    with pytest.raises(UserError, match=r"source=shuffled needs another text .*batch_size to"):
        make(Shuffled).read_kv(tokens((5,)), ["a"])


def first(kept):
    """The first text's rows in order, read as (tokens, width)."""
    return kept.flat[kept.rows[0][kept.rows[0] >= 0]]


def test_noise_has_the_texts_mean_and_covariance():
    long = tokens((80, 79))
    drawn = torch.cat([first(make(Random, seed=seed).read_kv(long, IDS)[0]) for seed in range(150)])
    true = first(plain(long))
    torch.testing.assert_close(drawn.mean(dim=0), true.mean(dim=0), atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), true.T.cov(correction=0), atol=0.1, rtol=0)


def test_noise_is_made_of_the_kept_tokens_alone():
    long, press = tokens((80, 79)), KeepLast(keep=3)
    (read,), true = make(Random, press, seed=0).read_kv(long, IDS), plain(long, press)
    assert torch.equal(read.row_of_token >= 0, true.row_of_token >= 0)
    assert torch.equal(read.positions[read.row_of_token[0, 77:]], torch.tensor([77, 78, 79]))
    # Three rows about their mean span a plane; so must what they are mixed to.
    apart = first(true) - first(true).mean(dim=0)
    noise = first(read) - first(true).mean(dim=0)
    both = torch.linalg.svdvals(torch.cat([apart, noise]))
    assert both[2] < 1e-4 * both[0]


def test_noise_tells_nothing_of_the_token_it_stands_for():
    long = tokens((80, 79))
    drawn, true = first(make(Random, seed=0).read_kv(long, IDS)[0]), first(plain(long))
    both = [(x - x.mean(dim=0)).flatten() for x in (drawn, true)]
    assert torch.cosine_similarity(*both, dim=0).abs() < 0.15


def test_noise_of_a_text_is_the_same_in_any_batch_and_at_any_padding():
    source = make(Random, seed=3)
    (alone,), (whole,) = source.read_kv(tokens((5,)), ["z"]), source.read_kv(tokens(more=4), IDS)
    torch.testing.assert_close(first(whole), first(alone))
    (other,) = make(Random, seed=4).read_kv(tokens((5,)), ["z"])
    assert not torch.allclose(first(other), first(alone))
