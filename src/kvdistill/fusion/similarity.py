"""The more a teacher's K and V already resemble the student's, the more it counts.

w = softmax_t(s(own, target_t) / temperature), s over all heads of a token, averaged over keys and
values. Both sides come centred: with the constant part of Qwen2's keys every cosine is 0.999. No
gradient passes, or the student could raise a teacher's weight by moving towards it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.fusion.base import Fusion, Weights
from kvdistill.geometry import Geometry
from kvdistill.types import KV

_PER = ("token", "layer")


class Similarity(Fusion):
    """Softmax of cosines, or of dot products over the square root of the width.

    `per` "token" weighs each token by itself; "layer" gives all tokens of a sample the mean
    similarity of those that the teacher covers, so one weight a sample, layer and teacher.
    """

    def __init__(
        self,
        *,
        student: Geometry,
        teachers: Sequence[str],
        layers: Sequence[int],
        metric: str,
        temperature: float,
        per: str,
    ) -> None:
        super().__init__(student=student, teachers=teachers, layers=layers)
        if metric not in _METRICS:
            raise ConfigError(f"fusion.metric={metric} must be one of: {', '.join(_METRICS)}.")
        if per not in _PER:
            raise ConfigError(f"fusion.per={per} must be one of: {', '.join(_PER)}.")
        if not temperature > 0:
            raise ConfigError(
                f"fusion.temperature must be above 0, got {temperature}. "
                f"Use fusion=best_single for one teacher alone."
            )
        self._metric, self.temperature, self.per = _METRICS[metric], temperature, per

    @torch.no_grad()
    def compute_logits(
        self, own: KV, targets: Sequence[KV], layer: int, progress: float
    ) -> Weights:
        similarity = torch.stack([self._compare(own, target) for target in targets])
        return similarity / self.temperature

    def _compare(self, own: KV, target: KV) -> Float[Tensor, "batch seq"]:
        mask, held = own.mask & target.mask, own.mask[:, None] & target.held
        keys = self._metric(_flatten_heads(own.keys, held), _flatten_heads(target.keys, held))
        values = self._metric(_flatten_heads(own.values, held), _flatten_heads(target.values, held))
        similarity = (keys + values) / 2
        if self.per == "token":
            return similarity
        # Rows under the mask are zeros, and so are their similarities.
        mean = similarity.sum(dim=1, keepdim=True) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return mean.expand_as(similarity)


def _flatten_heads(
    x: Float[Tensor, "batch heads seq dim"], held: Bool[Tensor, "batch some_heads seq"]
) -> Float[Tensor, "batch seq width"]:
    """(batch, seq, heads * dim) in float32, zero where a head holds no token."""
    return x.float().masked_fill(~held[..., None], 0).transpose(1, 2).flatten(2)


def _cosine_similarity(
    own: Float[Tensor, "batch seq width"], target: Float[Tensor, "batch seq width"]
) -> Float[Tensor, "batch seq"]:
    # Of two zero rows torch gives 0, not NaN.
    return nn.functional.cosine_similarity(own, target, dim=2)


def _scaled_dot_product(
    own: Float[Tensor, "batch seq width"], target: Float[Tensor, "batch seq width"]
) -> Float[Tensor, "batch seq"]:
    return (own * target).sum(dim=2) / own.shape[2] ** 0.5


_METRICS = {"cosine": _cosine_similarity, "dot": _scaled_dot_product}
