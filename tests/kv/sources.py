"""A source whose K and V are known, and batches of texts, for the tests of the controls."""

import torch

from kvdistill.compression.full import Full
from kvdistill.kv.base import TeacherKV, TeacherRequest, compress_layers
from kvdistill.layers.base import LayerPair
from kvdistill.types import KV, Layer, Tokens

IDS = ["a:cot", "b:cot", "c:direct"]
PAIRS = [LayerPair(0, 1, 1, 0.0), LayerPair(1, 1, 4, 0.5)]


class FakeTeacher(TeacherKV):
    """Two layers of random K and V that depend on the text alone; NaN on padding."""

    def __init__(self, request):
        self.request, self.rotaries = request, {}

    def read_kv_cache(self, tokens, ids):
        layers = {at: self.make_layer(tokens, at) for at in (1, 4)}
        return compress_layers(layers, self.request.layer_pairs, self.request.compression)

    def make_layer(self, tokens, at):
        generator = torch.Generator().manual_seed(at)
        table = torch.randn(2, 99, 2 * 3, generator=generator)
        parts = []
        for part in table:
            x = part[tokens.ids].unflatten(2, (2, 3)).transpose(1, 2) + 5
            parts.append(x.masked_fill(~tokens.mask[:, None, :, None], torch.nan))
        return Layer(KV(*parts, tokens.mask), tokens)


def make_request(press=None):
    return TeacherRequest(
        load_body=torch.nn.Identity,
        layer_pairs=PAIRS,
        compression=press or Full(),
        needs_rotary=False,
    )


def make(kind, press=None, **fields):
    """A control over the fake teacher."""
    return kind(make_request(press), of=FakeTeacher, **fields)


def plain(tokens, press=None):
    """What the fake teacher gives without a control."""
    (kept,) = FakeTeacher(make_request(press)).read_kv_cache(tokens, IDS)
    return kept


def at(kept, text, token):
    """What stands for a token: keys and values of both layers; None where nothing does."""
    row = int(kept.row_of_token[text, token])
    return None if row < 0 else kept.flat_kv[row]


def first(kept):
    """The first text's rows in order, read as (tokens, width)."""
    return kept.flat_kv[kept.row_of_token[0][kept.row_of_token[0] >= 0]]


def tokens(lengths=(5, 3, 4), more=0):
    """A batch of texts of different ids, with `more` columns of padding."""
    seq = max(lengths) + more
    ids, mask = torch.zeros(len(lengths), seq, dtype=torch.long), torch.zeros(len(lengths), seq)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.arange(length) + 10 * (row + 1)
        mask[row, :length] = 1
    return Tokens(ids, mask.bool(), mask.bool() & (torch.arange(seq) > 1))
