"""Noise in the teacher's place, with the mean and covariance of what the teacher read.

Each kept token becomes a random mixture of its text's kept tokens, the same mixture at every layer
and for keys and values: mean, variance and correlations are kept, which token means what is lost.
Compression keeps the tokens that it keeps for the true teacher.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kvdistill.kv.base import CompressedKV, TeacherKV, TeacherReading, TeacherRequest
from kvdistill.kv.control import Control
from kvdistill.types import Tokens

Mixture = Float[Tensor, "batch most most"]


class Random(Control):
    """The same noise for a text in any batch, on any rank, in any epoch and after a resume."""

    def __init__(self, request: TeacherRequest, *, of: Callable[..., TeacherKV], seed: int) -> None:
        """`of` builds the source whose K and V are replaced by noise."""
        super().__init__(request, of)
        self.seed = seed

    def read_texts(self, tokens: Tokens, ids: Sequence[str]) -> TeacherReading:
        """As the inner source gives them, with noise for K and V."""
        true = self.inner.read_texts(tokens, ids)
        # Read once a batch: a GPU is waited for.
        ids, real = tokens.ids.tolist(), tokens.mask.sum(dim=1).tolist()
        texts = [text[:count] for text, count in zip(ids, real, strict=True)]
        noise = [self.replace_by_noise(kept, texts) for kept in true.compressed]
        return replace(true, compressed=noise)

    def replace_by_noise(self, kept: CompressedKV, texts: Sequence[Sequence[int]]) -> CompressedKV:
        """The same tokens, each text's rows mixed among themselves; `texts` are their ids."""
        rows = kept.list_rows()
        batch, most = rows.shape
        flat_kv = mix_rows(kept.flat_kv, rows, self.draw_mixture(texts, rows))
        # Each text has `most` new rows, of which the first ones stand for its kept tokens.
        new_row = torch.arange(batch, device=rows.device)[:, None] * most + kept.rank_tokens()
        return replace(
            kept,
            flat_kv=flat_kv,
            row_of_token=torch.where(kept.row_of_token >= 0, new_row, -1),
            positions=kept.positions[rows.clamp(min=0)].flatten(),
        )

    def draw_mixture(
        self, texts: Sequence[Sequence[int]], rows: Int[Tensor, "batch most"]
    ) -> Mixture:
        """Normal weights of variance 1 / (number of kept tokens); zero beyond them."""
        batch, most = rows.shape
        mixture = torch.zeros(batch, most, most)
        for text, count in enumerate((rows >= 0).sum(dim=1).tolist()):
            # Seeded by the text itself, on the CPU: no generator's state to save or to share.
            digest = hashlib.sha256(f"{self.seed} {texts[text]}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
            weights = torch.randn(count, count, generator=generator) / count**0.5
            mixture[text, :count, :count] = weights
        return mixture.to(rows.device)


def mix_rows(
    flat_kv: Float[Tensor, "rows width"], rows: Int[Tensor, "batch most"], mixture: Mixture
) -> Float[Tensor, "new_rows width"]:
    """The text's mean plus random sums of its tokens' deviations from it, text after text."""
    real = (rows >= 0)[:, :, None]
    # Padding reads row 0, which may be another text's: filled before any sum.
    kept = flat_kv[rows.clamp(min=0)].float().masked_fill(~real, 0)
    mean = kept.sum(dim=1, keepdim=True) / real.sum(dim=1, keepdim=True).clamp(min=1)
    noise = mean + mixture @ (kept - mean).masked_fill(~real, 0)
    return noise.flatten(0, 1).to(flat_kv.dtype)
