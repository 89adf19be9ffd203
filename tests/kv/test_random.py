"""The random source: noise with the text's moments, reproducible, and nothing of its meaning."""

import torch

from kvdistill.compression.keep_last import KeepLast
from kvdistill.kv.random import Random
from tests.kv.sources import IDS, first, make, plain, tokens


def test_noise_has_the_texts_mean_and_covariance():
    long = tokens((80, 79))
    drawn = torch.cat(
        [first(make(Random, seed=seed).read_kv_cache(long, IDS)[0]) for seed in range(150)]
    )
    true = first(plain(long))
    torch.testing.assert_close(drawn.mean(dim=0), true.mean(dim=0), atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), true.T.cov(correction=0), atol=0.1, rtol=0)


def test_noise_is_made_of_the_kept_tokens_alone():
    long, press = tokens((80, 79)), KeepLast(keep=3)
    (read,), true = make(Random, press, seed=0).read_kv_cache(long, IDS), plain(long, press)
    assert torch.equal(read.row_of_token >= 0, true.row_of_token >= 0)
    assert torch.equal(read.positions[read.row_of_token[0, 77:]], torch.tensor([77, 78, 79]))
    # Three rows about their mean span a plane; so must what they are mixed to.
    apart = first(true) - first(true).mean(dim=0)
    noise = first(read) - first(true).mean(dim=0)
    both = torch.linalg.svdvals(torch.cat([apart, noise]))
    assert both[2] < 1e-4 * both[0]


def test_noise_tells_nothing_of_the_token_it_stands_for():
    long = tokens((80, 79))
    drawn, true = first(make(Random, seed=0).read_kv_cache(long, IDS)[0]), first(plain(long))
    both = [(x - x.mean(dim=0)).flatten() for x in (drawn, true)]
    assert torch.cosine_similarity(*both, dim=0).abs() < 0.15


def test_noise_of_a_text_is_the_same_in_any_batch_and_at_any_padding():
    source = make(Random, seed=3)
    (alone,), (whole,) = (
        source.read_kv_cache(tokens((5,)), ["z"]),
        source.read_kv_cache(tokens(more=4), IDS),
    )
    torch.testing.assert_close(first(whole), first(alone))
    (other,) = make(Random, seed=4).read_kv_cache(tokens((5,)), ["z"])
    assert not torch.allclose(first(other), first(alone))
