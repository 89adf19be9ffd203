"""From a teacher layer's width and heads to the student's, keys and values apart.

A projection holds one map for each (student layer, teacher layer) of one teacher, so that the two
neighbours of an interpolated layer are each brought into the student's basis first: heads of
neighbouring layers share none. It is fitted in closed form from second moments of aligned,
centred K and V, measured once on calibration rows (teachers' half); see kv/moments.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.kv.moments import Moments
from kvdistill.layers.base import LayerPair
from kvdistill.types import KV

MapId = tuple[int, int]
"""(student layer, teacher layer): what names a map."""


class Projection(nn.Module, ABC):
    """Maps centred teacher K and V, already on the student's tokens, into the student's space.

    `fit` is called on every build, before weights are loaded from a checkpoint; until then maps
    are NaN, so that a forgotten fit cannot pass for a target of zeros.
    """

    in_student_space: ClassVar[bool] = True
    """Whether targets are in the student's space, where those of several teachers can be fused."""
    mixes_heads: ClassVar[bool] = True
    """Whether a target's head reads several of the teacher's.

    If not, `head_mask` stays, and each head is compared at the tokens that it kept; if so, what a
    head dropped counts as its mean.
    """
    trains: bool = False
    """Whether its weights get gradients in training."""
    lr_scale: float = 1.0
    """Factor on the learning rate for its weights."""

    @abstractmethod
    def __init__(
        self, *, student: Geometry, teacher: Geometry, layer_pairs: Sequence[LayerPair]
    ) -> None:
        """Raises ConfigError if the geometries do not fit this projection."""
        super().__init__()

    @abstractmethod
    def fit(self, moments: Mapping[MapId, tuple[Moments, Moments]]) -> None:
        """Sets the maps, given the (keys, values) moments of each."""

    @abstractmethod
    def project_teacher(self, kv: KV, map_id: MapId) -> KV:
        """The teacher's centred K and V of one layer, in the space of comparison."""

    def project_student(self, kv: KV, map_id: MapId) -> KV:
        """The student's centred K and V in the space of comparison: its own, unless projected."""
        return kv


class ClosedForm(Projection):
    """Frozen maps, each solved from its moments by the subclass."""

    keys: Float[Tensor, "maps teacher_width student_width"]
    values: Float[Tensor, "maps teacher_width student_width"]

    def __init__(
        self, *, student: Geometry, teacher: Geometry, layer_pairs: Sequence[LayerPair]
    ) -> None:
        super().__init__(student=student, teacher=teacher, layer_pairs=layer_pairs)
        self._heads = student.kv_heads
        self._index = {map_id: i for i, map_id in enumerate(list_map_ids(layer_pairs))}
        # Buffers, so that a checkpoint holds the maps that its student was trained against.
        shape = (len(self._index), teacher.kv_width, student.kv_width)
        self.register_buffer("keys", torch.full(shape, torch.nan))
        self.register_buffer("values", torch.full(shape, torch.nan))

    @abstractmethod
    def solve_map(self, moments: Moments) -> Float[Tensor, "teacher_width student_width"]:
        """One map of keys or of values."""

    def fit(self, moments: Mapping[MapId, tuple[Moments, Moments]]) -> None:
        for map_id, i in self._index.items():
            for maps, part in zip((self.keys, self.values), moments[map_id], strict=True):
                maps[i] = self.solve_map(part)

    def project_teacher(self, kv: KV, map_id: MapId) -> KV:
        i = self._index[map_id]
        return KV(
            map_across_heads(kv.keys, self.keys[i], self._heads),
            map_across_heads(kv.values, self.values[i], self._heads),
            kv.mask,
        )


def list_map_ids(layer_pairs: Sequence[LayerPair]) -> list[MapId]:
    """Every (student layer, teacher layer) of the pairs, in order."""
    return [(pair.student_layer, layer) for pair in layer_pairs for layer in pair.teacher_layers]


def map_across_heads(
    x: Float[Tensor, "batch heads seq dim"],
    weight: Float[Tensor, "width out_width"],
    out_heads: int,
) -> Float[Tensor, "batch out_heads seq out_dim"]:
    """Maps all heads of a token at once, in the weight's precision or autocast's."""
    flat = x.transpose(1, 2).flatten(2).to(weight.dtype)
    return (flat @ weight).unflatten(2, (out_heads, -1)).transpose(1, 2)


def zero_padding(kv: KV) -> KV:
    """K and V with zeros under the mask."""
    # Where a map is trained, its gradient sums over all tokens: NaN under the mask would reach it.
    hidden = ~kv.mask[:, None, :, None]
    return KV(kv.keys.masked_fill(hidden, 0), kv.values.masked_fill(hidden, 0), kv.mask)


def check_shared_space(projections: Mapping[str, Projection]) -> None:
    """Raises ConfigError where several teachers' targets are not all in the student's space."""
    apart = [name for name, each in projections.items() if not each.in_student_space]
    if len(projections) > 1 and apart:
        # One setting for all, or the first teacher's own.
        path = "" if len(apart) == len(projections) else f"teachers.{apart[0]}."
        raise ConfigError(
            f"{path}projection=student_side compares in its teacher's own space, so it takes one "
            f"teacher, got {', '.join(projections)}. Use arm=single_teacher or projection=ridge."
        )


def check_penalty(penalty: float) -> float:
    """Raises ConfigError unless the ridge penalty is positive."""
    # Not `<= 0`: NaN is refused too.
    if not penalty > 0:
        raise ConfigError(
            f"projection.penalty must be above 0, got {penalty}. "
            f"It is relative to the teacher's mean variance; 0.001 is a mild one."
        )
    return penalty


def check_lr_scale(lr_scale: float) -> float:
    """Raises ConfigError unless the factor on the learning rate is 0 or more."""
    if not lr_scale >= 0:
        raise ConfigError(
            f"projection.lr_scale must be 0 or more, got {lr_scale}. 0 freezes the fitted maps."
        )
    return lr_scale
