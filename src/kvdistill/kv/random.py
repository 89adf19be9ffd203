"""Noise in the teacher's place, with the mean and covariance of what the teacher read.

Each token becomes a random mixture of its text's tokens, the same mixture at every layer and for
keys and values: size, spread and correlations stay, and which token means what is lost. Where
compression reads attention, it keeps the tokens that it keeps for the true teacher.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kvdistill.kv.base import TeacherKV
from kvdistill.types import KV, Layer, Tokens

Mixture = Float[Tensor, "batch seq seq"]


class Random(TeacherKV):
    """The same noise for a text in any batch, on any rank, in any epoch and after a resume."""

    def __init__(
        self,
        body: nn.Module,
        layers: Sequence[int],
        *,
        attention: bool,
        rotary: bool,
        of: Callable[..., TeacherKV],
        seed: int,
    ) -> None:
        """`of` builds the source whose readings are drowned."""
        self.inner, self.seed = of(body, layers, attention=attention, rotary=rotary), seed
        self.rotaries = self.inner.rotaries

    def read(self, tokens: Tokens, ids: Sequence[str]) -> dict[int, Layer]:
        """Of the inner source's layers only K and V are replaced."""
        found = self.inner.read(tokens, ids)
        mixture = self.mixture(tokens)
        return {
            at: replace(
                layer,
                kv=KV(
                    mixed(layer.kv.keys, mixture, tokens.mask),
                    mixed(layer.kv.values, mixture, tokens.mask),
                    tokens.mask,
                ),
            )
            for at, layer in found.items()
        }

    def mixture(self, tokens: Tokens) -> Mixture:
        """Normal weights of variance 1 over the number of tokens; zero on padding."""
        batch, seq = tokens.ids.shape
        found = torch.zeros(batch, seq, seq)
        for row in range(batch):
            real = tokens.ids[row, tokens.mask[row]].tolist()
            text = hashlib.sha256(f"{self.seed} {real}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(text[:8], "big") >> 1)
            count = len(real)
            drawn = torch.randn(count, count, generator=generator) / count**0.5
            found[row, :count, :count] = drawn
        return found.to(tokens.mask.device)


def mixed(
    x: Float[Tensor, "batch heads seq dim"], mixture: Mixture, mask: Bool[Tensor, "batch seq"]
) -> Float[Tensor, "batch heads seq dim"]:
    """Mean of the text plus random sums of what its tokens add to it."""
    hidden = ~mask[:, None, :, None]
    real = x.float().masked_fill(hidden, 0)
    mean = real.sum(dim=2, keepdim=True) / mask.sum(dim=1).clamp(min=1)[:, None, None, None]
    return (mean + mixture[:, None] @ (real - mean).masked_fill(hidden, 0)).to(x.dtype)
