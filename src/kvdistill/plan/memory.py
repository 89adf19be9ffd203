"""Memory of one rank's GPU, from geometries, placement and batch alone: what a plan can know.

A trained weight takes itself, its gradient and AdamW's two moments in float32; a frozen one itself,
divided among the ranks under ZeRO-3 but for the piece that is gathered to compute (Rajbhandari et
al. 2020, arXiv 1910.02054, sections 3 and 5). Left out: norms and biases, what the rooms hold
between the models, fragmentation, and the libraries' own gigabyte or two.
"""

from dataclasses import dataclass

from kvdistill.geometry import Geometry
from kvdistill.plan.flops import attention_weights, mlp_weights

MOMENTS_BYTES = 8
"""AdamW's two, in float32, of one weight."""
LOSS_BYTES = 8
"""A logit in float32 for the loss, and its gradient."""


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
    embeddings = tables * geometry.vocab_size * geometry.hidden_size
    return geometry.layers * count_layer_weights(geometry) + embeddings


def count_activations(geometry: Geometry) -> int:
    """Numbers a layer makes of a token: two norms, q, k, v, the mixed values, the gated MLP."""
    queries = geometry.heads * geometry.head_dim
    return (
        2 * geometry.hidden_size
        + 2 * queries
        + 2 * geometry.kv_width
        + 3 * geometry.intermediate_size
    )


def student_bytes(
    geometry: Geometry,
    weight_bytes: int,
    batch: RankBatch,
    *,
    compute_bytes: int,
    checkpointing: bool,
) -> int:
    """Bytes of the trained model: weights, gradients, moments, activations and logits.

    `checkpointing` keeps each layer's input and one layer's inner numbers, else all of them.
    """
    per_layer = count_activations(geometry) + geometry.hidden_size
    checkpointed = geometry.layers * geometry.hidden_size + per_layer
    activations = checkpointed if checkpointing else geometry.layers * per_layer
    logits = geometry.vocab_size * (compute_bytes + LOSS_BYTES)
    return count_weights(geometry) * (2 * weight_bytes + MOMENTS_BYTES) + batch.tokens * (
        activations * compute_bytes + logits
    )


def teacher_bytes(
    geometry: Geometry, weight_bytes: int, batch: RankBatch, *, deepest: int, read: int, shard: str,
    ranks: int,
) -> int:  # fmt: skip
    """Bytes of a frozen body up to layer `deepest`, one layer's pass, and `read` layers' K and V.

    `shard`: none, zero3 (a part on each of `ranks`), zero3_offload (the parts in the CPU's memory).
    """
    embeddings = geometry.vocab_size * geometry.hidden_size
    body = (deepest + 1) * count_layer_weights(geometry) + embeddings
    # ZeRO-3 holds one module whole at a time: a layer, or the embedding table.
    gathered = max(count_layer_weights(geometry), embeddings)
    weights_held = {"none": body, "zero3": -(-body // ranks) + gathered, "zero3_offload": gathered}[
        shard
    ]
    activations = count_activations(geometry) + geometry.hidden_size + 2 * read * geometry.kv_width
    return weight_bytes * (weights_held + batch.tokens * activations)
