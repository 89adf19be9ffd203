"""Layers for the compression tests: random keys and queries, right-padded with anything."""

import torch

from kvdistill.kv.base import select_kept_tokens
from kvdistill.layers.base import LayerPair
from kvdistill.types import KV, Layer, Tokens

HEADS, GROUP, DIM = 2, 3, 8


def layer(lengths, seq=None, *, pad=float("nan"), answer_from=0.5, seed=0, spread=1.0):
    """One sample a length; what lies beyond it, in `seq` tokens, is `pad`.

    Every sample is drawn alone, so that it is the same in any batch and at any padding.
    `answer_from` is the share of a text after which its answer begins.
    """
    seq = seq or max(lengths)
    keys = torch.full((len(lengths), HEADS, seq, DIM), pad)
    queries = torch.full((len(lengths), HEADS * GROUP, seq, DIM), pad)
    ids = torch.zeros(len(lengths), seq, dtype=torch.long)
    mask, answer = torch.zeros(2, len(lengths), seq, dtype=torch.bool)
    for i, n in enumerate(lengths):
        generator = torch.Generator().manual_seed(seed + n)
        common = torch.randn(HEADS, 1, DIM, generator=generator)
        keys[i, :, :n] = common + spread * torch.randn(HEADS, n, DIM, generator=generator)
        queries[i, :, :n] = torch.randn(HEADS * GROUP, n, DIM, generator=generator)
        ids[i, :n] = torch.randint(3, 999, (n,), generator=generator)
        mask[i, :n] = True
        answer[i, int(n * answer_from) :] = True  # on padding too: only the mask may tell
    return Layer(KV(keys, keys, mask), Tokens(ids, mask, answer), queries, keys)


def select_tokens(press, *layers):
    """The mask of kept tokens for a student layer that reads these (one or two) teacher layers."""
    pair = LayerPair(0, 0, len(layers) - 1, 0.5)
    ((_, mask),) = select_kept_tokens(dict(enumerate(layers)), [pair], press)
    return mask


def list_kept_tokens(press, *layers):
    """The indices that are kept, sample by sample."""
    return [row.nonzero().flatten().tolist() for row in select_tokens(press, *layers)]
