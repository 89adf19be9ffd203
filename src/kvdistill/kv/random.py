"""Noise in the teacher's place, with the mean and covariance of what the teacher read.

Each kept token becomes a random mixture of its text's kept tokens, the same mixture at every layer
and for keys and values: size, spread and correlations stay, and which token means what is lost.
Compression keeps the tokens that it keeps for the true teacher.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kvdistill.kv.base import CompressedKV, TeacherKV, TeacherRequest
from kvdistill.types import Tokens

Mixture = Float[Tensor, "batch most most"]


class Random(TeacherKV):
    """The same noise for a text in any batch, on any rank, in any epoch and after a resume."""

    def __init__(self, request: TeacherRequest, *, of: Callable[..., TeacherKV], seed: int) -> None:
        """`of` builds the source whose readings are drowned."""
        self.inner, self.seed = of(wanted=request), seed
        self.rotaries = self.inner.rotaries

    def read_kv(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """Of the inner source only K and V are replaced."""
        return [self.replace_by_noise(kept, tokens) for kept in self.inner.read_kv(tokens, ids)]

    def replace_by_noise(self, kept: CompressedKV, tokens: Tokens) -> CompressedKV:
        """Each text's rows, mixed among themselves."""
        listed = kept.list_rows()
        batch, most = listed.shape
        flat = mix_rows(kept.flat_kv, listed, self.draw_mixture(tokens, listed))
        mine = torch.arange(batch, device=listed.device)[:, None] * most + kept.rank_tokens()
        return replace(
            kept,
            flat=flat,
            rows=torch.where(kept.row_of_token >= 0, mine, -1),
            tokens=kept.positions[listed.clamp(min=0)].flatten(),
        )

    def draw_mixture(self, tokens: Tokens, listed: Int[Tensor, "batch most"]) -> Mixture:
        """Normal weights of variance 1 over the number of kept tokens; zero beyond them."""
        batch, most = listed.shape
        found = torch.zeros(batch, most, most)
        for row, count in enumerate((listed >= 0).sum(dim=1).tolist()):
            real = tokens.ids[row, tokens.mask[row]].tolist()
            text = hashlib.sha256(f"{self.seed} {real}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(text[:8], "big") >> 1)
            drawn = torch.randn(count, count, generator=generator) / count**0.5
            found[row, :count, :count] = drawn
        return found.to(listed.device)


def mix_rows(
    flat: Float[Tensor, "rows width"], listed: Int[Tensor, "batch most"], mixture: Mixture
) -> Float[Tensor, "new_rows width"]:
    """Mean of the text plus random sums of what its tokens add to it; text after text."""
    there = (listed >= 0)[:, :, None]
    real = flat[listed.clamp(min=0)].float().masked_fill(~there, 0)
    mean = real.sum(dim=1, keepdim=True) / there.sum(dim=1, keepdim=True).clamp(min=1)
    noise = mean + mixture @ (real - mean).masked_fill(~there, 0)
    return noise.flatten(0, 1).to(flat.dtype)
