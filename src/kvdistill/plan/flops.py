"""Floating-point operations of training and of reading teachers, counted from geometries alone.

A matrix product costs 2 operations a weight and token forward, and twice that backward: once for
the gradient of the activations, once for that of the weights (Kaplan et al. 2020, arXiv
2001.08361, section 2.1: 6 operations a parameter and token). Attention adds 4 x heads x head_dim
operations for every pair of a query and a key: scores, and the mixing of values (Chowdhery et al.
2022, PaLM, arXiv 2204.02311, appendix B); pairs are counted without a discount for the causal
mask, as the products are computed. Left out: embeddings (a look-up), norms, biases, softmax, the
optimiser, and the rooms between the models, whose projections cost less than a thousandth of a
teacher's layer at full scale; what a press multiplies is counted in matching/score_flops.py.
"""

from dataclasses import dataclass

from kvdistill.geometry import Geometry


@dataclass(frozen=True)
class TokenLoad:
    """What is read: texts summed up."""

    tokens: int
    pairs: int
    """Of tokens of one text with each other: the sum of squared lengths."""

    @classmethod
    def nominal(cls, tokens: int, seq_len: int) -> "TokenLoad":
        """Every text as long as it may be: what a plan costs. Real texts are shorter."""
        return cls(tokens, tokens * seq_len)


def attention_weights(geometry: Geometry) -> int:
    """Weights of one layer's q, k, v and output projections."""
    return 2 * geometry.hidden_size * (geometry.heads * geometry.head_dim + geometry.kv_width)


def mlp_weights(geometry: Geometry) -> int:
    """Weights of one layer's gated MLP: gate, up and down."""
    return 3 * geometry.hidden_size * geometry.intermediate_size


def product_flops(geometry: Geometry, load: TokenLoad) -> int:
    """A forward's products with weights, the head among them."""
    layer = attention_weights(geometry) + mlp_weights(geometry)
    head = geometry.hidden_size * geometry.vocab_size
    return 2 * load.tokens * (geometry.layers * layer + head)


def attention_flops(geometry: Geometry, load: TokenLoad, layers: int) -> int:
    """A forward's products of queries with keys, and of their weights with values."""
    return 4 * load.pairs * geometry.heads * geometry.head_dim * layers


def forward_flops(geometry: Geometry, load: TokenLoad) -> int:
    """A whole forward, logits at every token."""
    return product_flops(geometry, load) + attention_flops(geometry, load, geometry.layers)


def decoder_flops(geometry: Geometry, load: TokenLoad) -> int:
    """A teacher's whole forward to its last hidden states, without logits."""
    layer = attention_weights(geometry) + mlp_weights(geometry)
    weights = 2 * load.tokens * geometry.layers * layer
    return weights + attention_flops(geometry, load, geometry.layers)


def head_flops(geometry: Geometry, tokens: int) -> int:
    """Logits of so many tokens."""
    return 2 * tokens * geometry.hidden_size * geometry.vocab_size


def training_flops(geometry: Geometry, load: TokenLoad, *, frozen: bool = False) -> int:
    """Forward and backward of the student: 3 forwards, nothing recomputed.

    `frozen`: its weights get no gradient (LoRA), only what passes through them; the adapters
    themselves are left out.
    """
    weights = product_flops(geometry, load)
    return (2 if frozen else 3) * weights + 3 * attention_flops(geometry, load, geometry.layers)


def recomputation_flops(geometry: Geometry, load: TokenLoad) -> int:
    """What gradient checkpointing adds to `training`: every layer's forward again."""
    head = 2 * load.tokens * geometry.hidden_size * geometry.vocab_size
    return forward_flops(geometry, load) - head


def capture_flops(geometry: Geometry, load: TokenLoad, deepest: int) -> int:
    """A teacher's forward up to layer `deepest` (from 0), whose K and V are the last needed.

    As models/capture.py cuts it: that layer's attention runs, its MLP does not, and no logits.
    """
    layers = deepest + 1
    # The deepest layer's MLP comes after its K and V, and is cut away.
    weights = layers * attention_weights(geometry) + deepest * mlp_weights(geometry)
    return 2 * load.tokens * weights + attention_flops(geometry, load, layers)
