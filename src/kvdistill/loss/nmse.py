"""Normalised mean squared error (NMSE) of the student's K and V against their fused target.

The trained loss is divided by a scale that is calibrated before training: the mean of the teachers'
standard deviations. The fused target is narrower than that mean wherever teachers disagree, so a
student that knows nothing but the target's mean scores about (1 + r) / 2 on it for two teachers
whose K and V correlate by r, and losses under two sets of teachers do not compare. Here the divisor
is the variance of the fused target itself on the texts that are measured: 1 is what a constant
scores, whatever the teachers' agreement, and 0 is the target reproduced. It is 1 - R^2.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from kvdistill.types import KV

PARTS = {"k_nmse": "keys", "v_nmse": "values"}
"""Names in the curves -> fields of KV."""


@dataclass
class PartSums:
    """What the texts so far leave of one layer's keys, or of its values, in float64."""

    residuals: list[Tensor] = field(default_factory=list)
    """Mean squared residual of each text of a batch, over its covered tokens and all elements."""
    means: list[Tensor] = field(default_factory=list)
    """Mean target of each text, (batch, heads * dim)."""
    squares: list[Tensor] = field(default_factory=list)
    """Mean square of each text's target."""

    def add(
        self,
        own: Float[Tensor, "batch heads seq dim"],
        target: Float[Tensor, "batch heads seq dim"],
        held: Bool[Tensor, "batch some_heads seq"],
    ) -> None:
        """Adds the texts of a batch. What no head holds may be NaN."""
        own, target = (
            part.detach().double().masked_fill(~held[..., None], 0) for part in (own, target)
        )
        tokens = held.expand(target.shape[:3]).sum(dim=2)
        elements = tokens.sum(dim=1).clamp(min=1) * target.shape[3]
        self.means.append((target.sum(dim=2) / tokens.clamp(min=1)[..., None]).flatten(1).cpu())
        self.squares.append((target.square().sum(dim=(1, 2, 3)) / elements).cpu())
        residuals = (own - target).square().sum(dim=(1, 2, 3)) / elements
        self.residuals.append(residuals.cpu())

    def divide(self, covered: Bool[Tensor, " texts"]) -> Float[Tensor, " texts"] | None:
        """Each text's error over the target's variance; None where the target does not vary.

        Texts count alike, and those without a covered token are left out of the variance.
        """
        means, squares = torch.cat(self.means)[covered], torch.cat(self.squares)[covered]
        # A mean over elements of the variance over texts and tokens.
        variance = squares.mean() - means.mean(dim=0).square().mean()
        if not variance > 0:
            return None
        return torch.cat(self.residuals) / variance


@dataclass
class TargetNMSE:
    """Summed up batch by batch over the same texts in each layer; see the module's docstring."""

    weights: Mapping[str, float]
    """Of `keys` and `values` in the mean over both: the kv group's."""
    sums: dict[tuple[int, str], PartSums] = field(default_factory=dict)
    covered: list[Tensor] = field(default_factory=list)
    """Of each batch, which texts have a token that some teacher covers."""

    def add(self, layer: int, own: KV, target: KV) -> None:
        """Adds one layer of a batch, both in the space of comparison; layers in one order."""
        mask = own.mask & target.mask
        if not self.sums or layer == next(iter(self.sums))[0]:
            self.covered.append(mask.any(dim=1).cpu())
        for name, part in PARTS.items():
            sums = self.sums.setdefault((layer, name), PartSums())
            held = own.mask[:, None] & target.held
            sums.add(getattr(own, part), getattr(target, part), held)

    def extend(self, other: "TargetNMSE") -> None:
        """Adds the texts of another, in its order, behind those that are here."""
        self.covered += other.covered
        for key, sums in other.sums.items():
            own = self.sums.setdefault(key, PartSums())
            own.residuals += sums.residuals
            own.means += sums.means
            own.squares += sums.squares

    def compute_by_text(self) -> dict[str, list[float | None]]:
        """k_nmse, v_nmse and their weighted mean kv_nmse of each text, averaged over layers.

        None for a text without a covered token; no names at all where a target does not vary.
        """
        if not self.covered or not torch.cat(self.covered).any():
            return {}
        covered = torch.cat(self.covered)
        by_name: dict[str, Tensor] = {}
        for name in PARTS:
            layers = [sums.divide(covered) for (_, part), sums in self.sums.items() if part == name]
            varying = [layer for layer in layers if layer is not None]
            if len(varying) < len(layers):
                return {}
            by_name[name] = torch.stack(varying).mean(dim=0)
        keys, values = self.weights["keys"], self.weights["values"]
        both = (keys * by_name["k_nmse"] + values * by_name["v_nmse"]) / (keys + values)
        return {
            name: list(drop_uncovered(texts.tolist(), covered.tolist()))
            for name, texts in {"kv_nmse": both, **by_name}.items()
        }


def drop_uncovered(texts: Sequence[float], covered: Sequence[bool]) -> Iterator[float | None]:
    """The values, None where the text is not covered."""
    for value, has_token in zip(texts, covered, strict=True):
        yield value if has_token else None


def average_texts(texts: Sequence[float | None]) -> float:
    """Mean over the covered texts."""
    known = [value for value in texts if value is not None]
    return sum(known) / len(known)
