"""One step, in the order of the paper.

Per teacher: capture -> compression -> alignment -> centring -> projection -> layers -> position;
then fusion over the teachers, then the distance to the student's own K and V.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from kvdistill.fusion.base import compute_entropy
from kvdistill.kv.base import CompressedKV, TeacherReading
from kvdistill.layers.base import LayerPair
from kvdistill.loss.base import measure_heads
from kvdistill.models.attention.rotary import Rotary
from kvdistill.position.base import Position, Positions
from kvdistill.train.answers.competence import measure_competence
from kvdistill.train.covered_tokens import CoveredTokens, leave_out_tokens
from kvdistill.train.objective import KVObjective, TeacherBranch
from kvdistill.types import KV, Batch, Layer, Links, Tokens, join_heads

Rotaries = Mapping[int, Rotary]
Observer = Callable[[int, KV, KV], None]
"""Called with (layer, the student's K and V, their fused target), to measure what is compared."""


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


def compute_kv_terms(
    captured: Mapping[int, Layer],
    teachers: Mapping[str, TeacherReading],
    objective: KVObjective,
    batch: Batch,
    rotaries: Rotaries,
    progress: float,
    observe: Observer | None = None,
) -> Terms:
    """Compares the student's captured layers with the teachers' fused targets.

    `rotaries` are the student's; `progress` is the share of the steps that is done. `observe` sees
    what is compared and changes nothing of it.
    """
    std, distance = objective.average_target_std, objective.distance
    parts = []
    for layer, own, target, share in iterate_layer_targets(
        captured, teachers, objective, batch, rotaries, progress
    ):
        if observe is not None:
            observe(layer, own, target)
        parts.append(
            (
                measure_heads(distance, own.keys, target.keys, target, std(layer, "keys")),
                measure_heads(distance, own.values, target.values, target, std(layer, "values")),
                compute_entropy(share, target.mask),
                objective.fusion.compute_penalty(share, progress),
                # A sample may have no covered token: its weights then count as 0.
                share.sum(dim=2) / target.mask.sum(dim=1).clamp(min=1),
            )
        )
    keys, values, entropy, penalty, weights = (
        torch.stack(part) for part in zip(*parts, strict=True)
    )
    kv_weights = objective.weights
    kv = (kv_weights.keys * keys + kv_weights.values * values) / (
        kv_weights.keys + kv_weights.values
    )
    return Terms(
        kv=kv.mean(),
        keys=keys.detach().mean(dim=1),
        values=values.detach().mean(dim=1),
        entropy=entropy.mean(),
        penalty=penalty.mean(),
        weights=weights.detach(),
    )


def iterate_layer_targets(
    captured: Mapping[int, Layer],
    teachers: Mapping[str, TeacherReading],
    objective: KVObjective,
    batch: Batch,
    rotaries: Rotaries,
    progress: float,
) -> Iterator[tuple[int, KV, KV, Float[Tensor, "teachers batch seq"]]]:
    """(layer, the student's K and V, the fused target, its weights) in the space of comparison.

    Only the student tokens that some teacher covers, and `loss.tokens` compares, are there, in
    their order.
    """
    token_weights = objective.tokens.weigh_tokens(batch.student)
    batch = leave_out_tokens(batch, token_weights)
    branches = objective.get_branches()
    linked = link_teachers_kv({name: teachers[name] for name in branches}, batch)
    covered = CoveredTokens.from_links([links for each in linked.values() for _, links in each])
    competence = None
    if objective.fusion.reads_competence:
        competence = measure_competence(teachers, batch, covered)
    targets = [
        compute_teacher_targets(linked[name], covered, branch, teachers[name].rotaries, rotaries)
        for name, branch in branches.items()
    ]
    for layer in objective.layers:
        own = covered.gather_kv(captured[layer].kv)
        own = project_student_kv(own, covered.positions, objective, layer, rotaries)
        # The fusion may compare with the student, but must not be able to move it.
        detached = KV(own.keys.detach(), own.values.detach(), own.mask)
        layer_targets = [target[layer] for target in targets]
        fused, shares = objective.fusion(
            detached, layer_targets, layer, progress, competence, batch.tasks
        )
        if token_weights is not None and objective.tokens.weighs:
            fused = replace(fused, token_weights=covered.gather_weights(token_weights))
        yield layer, own, fused, shares


def link_teachers_kv(
    teachers: Mapping[str, TeacherReading], batch: Batch
) -> dict[str, list[tuple[CompressedKV, Links]]]:
    """What compression leaves of each teacher's K and V, and the student's links to its rows."""
    read: dict[str, list[tuple[CompressedKV, Links]]] = {}
    for name, teacher in teachers.items():
        read[name] = [(kept, batch.teachers[name].links) for kept in teacher.compressed]
    kept_links = [
        links.count_kept(kept.row_of_token) for each in read.values() for kept, links in each
    ]
    # Of all teachers and layers at once: the host waits for a GPU here.
    counts = iter(torch.stack(kept_links).tolist())
    return {
        name: [(kept, links.map_to_rows(kept.row_of_token, next(counts))) for kept, links in each]
        for name, each in read.items()
    }


def compute_teacher_targets(
    linked: Sequence[tuple[CompressedKV, Links]],
    covered: CoveredTokens,
    branch: TeacherBranch,
    teacher_rotaries: Rotaries,
    student_rotaries: Rotaries,
) -> dict[int, KV]:
    """One teacher's target for each distilled student layer, on the covered student tokens."""
    position, at = branch.pipeline.position, covered.positions
    selected = ((kept, covered.select_links(links)) for kept, links in linked)
    return {
        pair.student_layer: compute_target(
            pair, layers, branch, student_rotaries[pair.student_layer], at
        )
        for pair, layers in align_teacher_layers(selected, position, teacher_rotaries)
    }


def align_teacher_layers(
    linked: Iterable[tuple[CompressedKV, Links]], position: Position, rotaries: Rotaries
) -> Iterator[tuple[LayerPair, list[KV]]]:
    """`align_teacher_kv` of each, the heads of a layer joined where they keep their own tokens."""
    aligned = (
        each for kept, links in linked for each in align_teacher_kv(kept, links, position, rotaries)
    )
    # A layer's heads follow one another.
    for _, heads in groupby(aligned, key=lambda each: each[0].student_layer):
        pairs, layers = zip(*heads, strict=True)
        yield pairs[0], [join_heads(parts) for parts in zip(*layers, strict=True)]


def align_teacher_kv(
    kept: CompressedKV, links: Links, position: Position, rotaries: Rotaries
) -> Iterator[tuple[LayerPair, list[KV]]]:
    """For each student layer its one or two teacher layers on the student's tokens, uncentred.

    `links` lead to the kept rows.
    """
    # Before alignment: once tokens are averaged, their keys have no one position to be rotated by.
    rotated = kept.rotate_keys(
        lambda keys, layer, at: position.rotate_captured_keys(keys, rotaries[layer], at)
    )
    flat, mask = links.apply(rotated.flat_kv), links.mask
    for pair in kept.layer_pairs:
        layers = []
        for layer in pair.teacher_layers:
            keys, values = (
                flat[:, :, where].unflatten(2, (kept.heads, -1)).transpose(1, 2)
                for where in kept.find_columns(layer)
            )
            layers.append(KV(keys, values, mask, bias=rotated.get_bias(layer)))
        yield pair, layers


def compute_target(
    pair: LayerPair,
    aligned: list[KV],
    branch: TeacherBranch,
    rotary: Rotary,
    positions: Positions,
) -> KV:
    """The target of one student layer: each teacher layer projected, then interpolated."""
    projected = [
        branch.projection.project_teacher(
            branch.stats.subtract_mean(kv, f"teacher{layer}", pair.student_layer),
            (pair.student_layer, layer),
        )
        for layer, kv in zip(pair.teacher_layers, aligned, strict=True)
    ]
    low, high = projected[0], projected[-1]
    keys, values = low.keys, low.values
    # One layer alone is both; two share their mask.
    if high is not low:
        keys = torch.lerp(keys, high.keys, pair.weight)
        values = torch.lerp(values, high.values, pair.weight)
    keys = branch.pipeline.position.rotate_target_keys(keys, rotary, positions)
    return replace(low, keys=keys, values=values)


def project_student_kv(
    kv: KV, positions: Positions, objective: KVObjective, layer: int, rotaries: Rotaries
) -> KV:
    """The student's K and V of a layer, centred, in the space and frame of comparison."""
    first, rotary = objective.first_branch, rotaries[layer]
    position = first.pipeline.position
    pair = next(item for item in first.pipeline.layer_pairs if item.student_layer == layer)
    framed = kv.rotate_keys(lambda keys: position.rotate_captured_keys(keys, rotary, positions))
    mapped = first.projection.project_student(
        first.stats.subtract_mean(framed, "own", layer), (layer, pair.low)
    )
    return KV(
        position.rotate_student_keys(mapped.keys, rotary, positions), mapped.values, mapped.mask
    )


def sum_cross_entropy(logits: Float[Tensor, "predicted vocab"], tokens: Tokens) -> Tensor:
    """Cross-entropy summed over the predicted answer tokens, in nats; computed in float32."""
    return F.cross_entropy(logits.float(), tokens.labels, reduction="sum")


def sum_cross_entropy_by_text(
    logits: Float[Tensor, "predicted vocab"], tokens: Tokens
) -> Float[Tensor, " batch"]:
    """`sum_cross_entropy` of each text; 0 for one without an answer token."""
    losses = F.cross_entropy(logits.float(), tokens.labels, reduction="none")
    return sum_tokens_by_text(losses, tokens)


def sum_tokens_by_text(x: Float[Tensor, " predicted"], tokens: Tokens) -> Float[Tensor, " batch"]:
    """Sums of what each predicted answer token has, text by text."""
    return x.new_zeros(len(tokens.ids)).index_add_(0, tokens.label_texts, x)


def compute_exact_match(
    logits: Float[Tensor, "predicted vocab"], tokens: Tokens
) -> Bool[Tensor, " batch"]:
    """Whether greedy decoding from the prompt would write the whole answer, end included.

    Never of a text without an answer token: nothing was asked of it.
    """
    # Every other token counts as right: a text is right when all its answer tokens are.
    right = torch.ones_like(tokens.mask)
    right[tokens.label_mask] = logits.argmax(dim=1) == tokens.ids[tokens.label_mask]
    return right.all(dim=1) & tokens.label_mask.any(dim=1)


def make_positions(keys: Float[Tensor, "batch heads seq dim"]) -> Int[Tensor, "batch seq"]:
    """Positions 0, 1, ... of right-padded texts."""
    return torch.arange(keys.shape[2], device=keys.device).expand(keys.shape[0], -1)
