"""One step, in the order of the paper.

Per teacher: capture -> compression -> alignment -> centring -> projection -> layers -> position;
then fusion over the teachers, then the distance to the student's own K and V.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from kvdistill.fusion.base import compute_entropy
from kvdistill.kv.base import CompressedKV, TeacherKV
from kvdistill.kv.rotary import Rotary
from kvdistill.layers.base import LayerPair
from kvdistill.position.base import Position, Positions
from kvdistill.train.covered_tokens import Covered
from kvdistill.train.objective import Rooms, Taught
from kvdistill.types import KV, Batch, Layer, Links, Tokens

Rotaries = Mapping[int, Rotary]


@dataclass(frozen=True)
class Terms:
    """The KV terms of a batch: means over layers, then over samples."""

    kv: Tensor
    """Distance of K and V, weighted by the kv group."""
    keys: Float[Tensor, " layers"]
    values: Float[Tensor, " layers"]
    entropy: Tensor
    """Of the fusion weights, in nats."""
    penalty: Tensor
    """What the fusion adds, already weighted."""
    weights: Float[Tensor, "layers teachers batch"]
    """Each sample's mean fusion weights."""


def distil(
    own: Mapping[int, Layer],
    teachers: Mapping[str, TeacherKV],
    rooms: Rooms,
    batch: Batch,
    rotaries: Rotaries,
    progress: float,
) -> Terms:
    """Compares the student's captured layers with the teachers' fused targets.

    `rotaries` are the student's; `progress` is the share of the steps that is done.
    """
    parts = []
    for layer, mine, target, share in compared(own, teachers, rooms, batch, rotaries, progress):
        parts.append(
            (
                rooms.distance(mine.keys, target.keys, target.mask, rooms.spread(layer, "keys")),
                rooms.distance(
                    mine.values, target.values, target.mask, rooms.spread(layer, "values")
                ),
                compute_entropy(share, target.mask),
                rooms.fusion.compute_penalty(share, progress),
                share.sum(dim=2) / target.mask.sum(dim=1).clamp(min=1),
            )
        )
    keys, values, spread, penalty, weights = (
        torch.stack(part) for part in zip(*parts, strict=True)
    )
    number = rooms.weights
    kv = (number.keys * keys + number.values * values) / (number.keys + number.values)
    return Terms(
        kv=kv.mean(),
        keys=keys.detach().mean(dim=1),
        values=values.detach().mean(dim=1),
        entropy=spread.mean(),
        penalty=penalty.mean(),
        weights=weights.detach(),
    )


def compared(
    own: Mapping[int, Layer],
    teachers: Mapping[str, TeacherKV],
    rooms: Rooms,
    batch: Batch,
    rotaries: Rotaries,
    progress: float,
) -> Iterator[tuple[int, KV, KV, Float[Tensor, "teachers batch seq"]]]:
    """(layer, the student's K and V, the fused target, its weights) in the space of comparison.

    Of the student's tokens only those that some teacher covers are there, in order.
    """
    read = {name: linked(teachers[name], batch, name) for name in rooms.parts()}
    covered = Covered.by([links for found in read.values() for _, links in found])
    targets = [
        teacher_targets(read[name], covered, taught, teachers[name].rotaries, rotaries)
        for name, taught in rooms.parts().items()
    ]
    for layer in rooms.layers:
        mine = student_kv(covered.own(own[layer].kv), covered.at, rooms, layer, rotaries)
        detached = KV(mine.keys.detach(), mine.values.detach(), mine.mask)
        found = [target[layer] for target in targets]
        yield layer, mine, *rooms.fusion(detached, found, layer, progress)


def linked(teacher: TeacherKV, batch: Batch, name: str) -> list[tuple[CompressedKV, Links]]:
    """What compression left of a teacher's reading, and the student's links to it."""
    reading = batch.teachers[name]
    found = teacher.read_kv(reading.tokens, batch.ids)
    return [(kept, reading.links.map_to_rows(kept.row_of_token)) for kept in found]


def teacher_targets(
    read: Sequence[tuple[CompressedKV, Links]],
    covered: Covered,
    taught: Taught,
    theirs: Rotaries,
    ours: Rotaries,
) -> dict[int, KV]:
    """One teacher's target for each distilled student layer, on the covered student tokens."""
    position = taught.reader.position
    return {
        source.student_layer: target(source, layers, taught, ours[source.student_layer], covered.at)
        for kept, links in read
        for source, layers in aligned(kept, covered.links(links), position, theirs)
    }


def aligned(
    kept: CompressedKV, links: Links, position: Position, theirs: Rotaries
) -> Iterator[tuple[LayerPair, list[KV]]]:
    """For each student layer its one or two teacher layers on the student's tokens, uncentred.

    `links` lead to the kept rows.
    """
    turned = kept.rotate_keys(
        lambda keys, layer, at: position.rotate_source(keys, theirs[layer], at)
    )
    flat, mask = links.apply(turned.flat_kv), links.mask
    for source in kept.layer_pairs:
        layers = []
        for layer in source.teacher_layers:
            keys, values = (
                flat[:, :, where].unflatten(2, (kept.heads, -1)).transpose(1, 2)
                for where in kept.find_columns(layer)
            )
            layers.append(KV(keys, values, mask))
        yield source, layers


def target(source: LayerPair, aligned: list[KV], taught: Taught, ours: Rotary, at: Positions) -> KV:
    """The target of one student layer: each teacher layer projected, then interpolated."""
    projected = [
        taught.projection.project_teacher(
            taught.constants.centred(kv, f"teacher{layer}", source.student_layer),
            (source.student_layer, layer),
        )
        for layer, kv in zip(source.teacher_layers, aligned, strict=True)
    ]
    low, high = projected[0], projected[-1]
    keys = torch.lerp(low.keys, high.keys, source.weight)
    values = torch.lerp(low.values, high.values, source.weight)
    return KV(taught.reader.position.rotate_target(keys, ours, at), values, low.mask)


def student_kv(kv: KV, at: Positions, rooms: Rooms, layer: int, ours: Rotaries) -> KV:
    """The student's K and V of a layer, centred, in the space and frame of comparison."""
    first, rotary = rooms.first, ours[layer]
    position = first.reader.position
    source = next(item for item in first.reader.sources if item.student_layer == layer)
    read = KV(position.rotate_source(kv.keys, rotary, at), kv.values, kv.mask)
    mine = first.projection.project_student(
        first.constants.centred(read, "own", layer), (layer, source.low)
    )
    return KV(position.rotate_student(mine.keys, rotary, at), mine.values, mine.mask)


def cross_entropy(scores: Float[Tensor, "predicted vocab"], tokens: Tokens) -> Tensor:
    """Summed over the predicted answer tokens, text after text; in nats."""
    return F.cross_entropy(scores.float(), tokens.ids[tokens.predicted], reduction="sum")


def exact(scores: Float[Tensor, "predicted vocab"], tokens: Tokens) -> Bool[Tensor, " batch"]:
    """Whether greedy decoding from the prompt would write the whole answer, end included."""
    right = torch.ones_like(tokens.mask)
    right[tokens.predicted] = scores.argmax(dim=1) == tokens.ids[tokens.predicted]
    return right.all(dim=1)


def positions_of(keys: Float[Tensor, "batch heads seq dim"]) -> Int[Tensor, "batch seq"]:
    """Positions 0, 1, ... of right-padded texts."""
    return torch.arange(keys.shape[2], device=keys.device).expand(keys.shape[0], -1)
