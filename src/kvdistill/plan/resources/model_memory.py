"""Bytes of models on one rank's GPU, from geometries, placement and batch alone.

A trained weight takes itself, its gradient and AdamW's two moments in float32; a frozen one itself,
divided among the ranks under ZeRO-3 but for the piece that is gathered to compute (Rajbhandari et
al. 2020, arXiv 1910.02054, sections 3 and 5). Gradients lie in DDP's buckets
(`gradient_as_bucket_view`), so there is no second copy of them. Activations are counted operation
by operation of a Llama-like layer as autograd keeps them: under autocast the residual stream and
what a norm keeps stay float32. Left out: biases, and the libraries' own gigabyte or two.
"""

from dataclasses import dataclass

from kvdistill.geometry import Geometry
from kvdistill.plan.flops import attention_weights, mlp_weights

FLOAT32_BYTES = 4
MOMENTS_BYTES = 8
"""AdamW's two, in float32, of one weight."""
LOGIT_BYTES = 12
"""Of one logit where the loss's backward is at its highest: the log-softmax that was kept, the
gradient that enters it and the one that leaves it, each in float32."""
REDUCE_BUCKET = 500_000_000
"""Gradients that DeepSpeed's ZeRO-1 and 2 reduce at once, by default."""


@dataclass(frozen=True)
class RankBatch:
    """What a rank reads at once."""

    texts: int
    seq_len: int

    @property
    def tokens(self) -> int:
        """At full length."""
        return self.texts * self.seq_len


def count_layer_weights(geometry: Geometry) -> int:
    """Weights of one layer."""
    return attention_weights(geometry) + mlp_weights(geometry)


def count_weights(geometry: Geometry) -> int:
    """Weights of the whole model with its embeddings."""
    tables = 1 if geometry.tied_embeddings else 2
    return geometry.layers * count_layer_weights(geometry) + tables * count_table_weights(geometry)


def count_table_weights(geometry: Geometry) -> int:
    """Weights of the embedding table, or of a head that is not tied to it."""
    return geometry.vocab_size * geometry.hidden_size


@dataclass(frozen=True)
class StudentMemory:
    """Bytes of the trained model."""

    states: int
    """Weights, gradients and moments."""
    cast_weights: int
    """Copies of all weights in autocast's precision, which live until the forward ends; where
    autograd keeps them, they are in `kept`."""
    kept: int
    """What autograd keeps from the forward for the backward, logits apart."""
    recomputed: int
    """The backward of one layer at its highest: gradients and, under checkpointing, its inner
    numbers and copies of its weights."""


def measure_student(
    geometry: Geometry, weight_bytes: int, batch: RankBatch, *, compute_bytes: int,
    checkpointing: bool, trained_share: float = 1.0, zero_stage: int = 0, ranks: int = 1,
) -> StudentMemory:  # fmt: skip
    """The student on one of `ranks`.

    `checkpointing` keeps each layer's input, and one layer's inner numbers at a time, else all of
    them. `trained_share`: of its weights, under LoRA. `zero_stage`: of its optimiser (0, 1, 2).
    """
    weights = count_weights(geometry)
    per_layer = batch.tokens * count_kept_bytes(geometry, compute_bytes)
    stream = batch.tokens * geometry.hidden_size * FLOAT32_BYTES
    # The last layer's output and its norm's stay in either case.
    ends, inputs = 2 * stream, geometry.layers * stream
    casts = compute_bytes if compute_bytes < weight_bytes else 0
    largest = geometry.hidden_size * geometry.intermediate_size
    # The MLP's is the highest: its product's gradient and the stream's, and the gradient of one of
    # its matrices, in autocast's precision and in the weight's own.
    backward = (
        batch.tokens * geometry.intermediate_size * compute_bytes
        + stream
        + largest * (casts + weight_bytes)
    )
    if checkpointing:
        # Only the layer at hand has its numbers, and copies of its weights.
        kept, copies = ends + inputs, casts * weights
        backward += per_layer + casts * count_layer_weights(geometry)
    else:
        # Autograd keeps the copies that the products were made with, too.
        kept, copies = ends + geometry.layers * per_layer + casts * weights, 0
    states = count_states(weights, weight_bytes, trained_share, zero_stage, ranks)
    return StudentMemory(states=states, cast_weights=copies, kept=kept, recomputed=backward)


def count_states(
    weights: int, weight_bytes: int, trained_share: float, zero_stage: int, ranks: int
) -> int:
    """Bytes of weights, their gradients and moments; ZeRO's stage divides what it says."""
    trained = round(weights * trained_share)
    if not zero_stage:
        return weights * weight_bytes + trained * (weight_bytes + MOMENTS_BYTES)
    # DeepSpeed steps on a part of its own of the weights, in float32.
    divided = trained * (FLOAT32_BYTES + MOMENTS_BYTES)
    whole = weights * weight_bytes + 2 * min(trained, REDUCE_BUCKET) * weight_bytes
    gradients = trained * weight_bytes
    return (
        whole + (divided + gradients) // ranks
        if zero_stage == 2
        else whole + divided // ranks + gradients
    )


def count_kept_bytes(geometry: Geometry, compute_bytes: int) -> int:
    """Bytes that a layer keeps of a token for its backward.

    In the precision of products: queries before and after rotation and the mixed values, keys and
    values, two normed inputs, and of the gated MLP gate, its activation, up and their product. In
    float32: five of the residual stream and of what its two norms keep.
    """
    queries = geometry.heads * geometry.head_dim
    products = (
        3 * queries
        + 4 * geometry.kv_width
        + 2 * geometry.hidden_size
        + 4 * geometry.intermediate_size
    )
    return products * compute_bytes + 5 * geometry.hidden_size * FLOAT32_BYTES


def count_logit_bytes(geometry: Geometry, scored: int, compute_bytes: int) -> tuple[int, int]:
    """(logits while the rooms work, logits at their highest, in the loss), of `scored` tokens."""
    logits = geometry.vocab_size * scored
    return logits * compute_bytes, logits * LOGIT_BYTES


@dataclass(frozen=True)
class TeacherMemory:
    """Bytes of a frozen body."""

    weights: int
    """Held all the time."""
    running: int
    """Beside its K and V while it reads: one layer's numbers, and what ZeRO-3 gathers."""


def measure_teacher(
    geometry: Geometry, weight_bytes: int, batch: RankBatch, *, deepest: int, shard: str,
    ranks: int, ranks_per_node: int | None = None,
) -> TeacherMemory:  # fmt: skip
    """A frozen body up to layer `deepest`.

    `shard`: none, zero3 (a part on each of `ranks`, and over several nodes a second part on each
    rank of a node), zero3_offload (the parts in the CPU's memory).
    """
    body = (deepest + 1) * count_layer_weights(geometry) + count_table_weights(geometry)
    # ZeRO-3 holds one module whole at a time: a layer, or the embedding table.
    gathered = max(count_layer_weights(geometry), count_table_weights(geometry))
    parts = -(-body // ranks)
    if ranks_per_node is not None and ranks_per_node < ranks:
        parts += -(-body // ranks_per_node)
    held = {"none": body, "zero3": parts, "zero3_offload": 0}[shard]
    # Nothing is kept for a backward: the stream, a normed copy of it, and the gated MLP's three.
    numbers = 2 * geometry.hidden_size + 3 * geometry.intermediate_size
    return TeacherMemory(
        weights=weight_bytes * held,
        running=weight_bytes * (batch.tokens * numbers + (0 if shard == "none" else gathered)),
    )
