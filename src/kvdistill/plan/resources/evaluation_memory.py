"""How many texts a GPU can score at once: what a row of a batch holds, from geometries alone.

A row that is written keeps K and V of its prompt and answer, each layer's copied once while a token
is appended, and the last token's logits; one that is read keeps the logits of at most all its
tokens and their log-softmax. Beside either stand one layer's activations over the whole prompt and
the row's part of the attention mask. Counted as model_memory.py counts a frozen model; SLACK is for
what the allocator cannot use.
"""

from kvdistill.geometry import Geometry

SLACK = 0.8
"""Of the free bytes, the share that is planned with."""
LARGEST_BATCH = 256
"""Above it decoding gains little: reading each row's cache outweighs reading the weights once."""
DEFAULT_BATCH = 16
"""Where nothing is known of the memory (a CPU's is the machine's own) or of the model's cache."""
FLOAT32_BYTES = 4


def count_row_bytes(geometry: Geometry, number_bytes: int, tokens: int, *, generated: bool) -> int:
    """Bytes of one row of `tokens`, prompt and answer together.

    `number_bytes`: of a weight, and so of an activation. `generated`: whether an answer is written,
    else the log-probabilities of all tokens are read.
    """
    cache = 2 * geometry.kv_width * (geometry.layers + 1) * tokens * number_bytes
    widths = 2 * geometry.hidden_size + 3 * geometry.intermediate_size
    activations = widths * tokens * number_bytes
    mask = tokens * tokens  # of booleans
    if generated:
        # As they are, as float32 (transformers decides in it), and once more where it is checked.
        logits = geometry.vocab_size * (number_bytes + 2 * FLOAT32_BYTES)
    else:
        logits = 2 * geometry.vocab_size * tokens * number_bytes
    return cache + activations + mask + logits


def choose_batch_size(
    geometry: Geometry, number_bytes: int, tokens: int, free_bytes: int, *, generated: bool
) -> int:
    """The largest power of two of such rows that fit; at least 1, at most LARGEST_BATCH.

    A power of two, so that a few bytes more or less change no batch.
    """
    row = count_row_bytes(geometry, number_bytes, tokens, generated=generated)
    fitting = min(int(SLACK * free_bytes) // row, LARGEST_BATCH)
    return 1 << max(fitting.bit_length() - 1, 0)
