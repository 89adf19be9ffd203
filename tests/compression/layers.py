"""Layers for the compression tests: random keys and queries, right-padded with anything."""

import torch

from kvdistill.kv.base import select_kept_tokens
from kvdistill.layers.base import LayerPair
from kvdistill.models.attention.rotary import Rotary
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
    rotary = Rotary(torch.tensor([1.0, 0.3, 0.1, 0.03]))
    return Layer(KV(keys, keys, mask), Tokens(ids, mask, answer), queries, keys, queries, rotary)


def select_tokens(press, *layers):
    """The mask of kept tokens for a student layer that reads these (one or two) teacher layers.

    With an axis of heads where they keep their own.
    """
    pair = LayerPair(0, 0, len(layers) - 1, 0.5)
    masks = [mask for _, mask in select_kept_tokens(dict(enumerate(layers)), [pair], press)]
    return torch.stack(masks, dim=1) if press.by_head else masks[0]


def list_kept_tokens(press, *layers):
    """The indices that are kept, sample by sample, and head by head where they keep their own."""

    def list_rows(mask):
        if mask.dim() > 1:
            return [list_rows(row) for row in mask]
        return mask.nonzero().flatten().tolist()

    return list_rows(select_tokens(press, *layers))


def make_text(keys, queries, values=None, answer=None):
    """One text of any heads without padding: keys (heads, seq, dim), queries (query_heads, ...)."""
    keys, queries = keys[None], queries[None]
    values = keys if values is None else values[None]
    mask = torch.ones(1, keys.shape[2], dtype=torch.bool)
    tokens = Tokens(mask.long(), mask, mask if answer is None else answer)
    return Layer(KV(keys, values, mask), tokens, queries, keys)
