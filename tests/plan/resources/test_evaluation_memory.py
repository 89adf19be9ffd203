"""How many rows a GPU scores at once."""

from kvdistill.geometry import Geometry
from kvdistill.plan.resources.evaluation_memory import (
    LARGEST_BATCH,
    choose_batch_size,
    count_row_bytes,
)

QWEN = Geometry(
    layers=28, hidden_size=1536, intermediate_size=8960, heads=12, kv_heads=2, head_dim=128,
    vocab_size=151_936,
)  # fmt: skip
GIB = 2**30


def test_a_row_is_its_cache_its_activations_its_mask_and_its_logits() -> None:
    cache = 2 * 256 * 29 * 1000 * 2
    activations = (2 * 1536 + 3 * 8960) * 1000 * 2
    written = count_row_bytes(QWEN, 2, 1000, generated=True)
    assert written == cache + activations + 1000**2 + 151_936 * 10
    read = count_row_bytes(QWEN, 2, 1000, generated=False)
    assert read - written == 2 * 151_936 * 1000 * 2 - 151_936 * 10


def test_a_batch_is_a_power_of_two_that_fits_and_never_none() -> None:
    sizes = [
        choose_batch_size(QWEN, 2, tokens, free, generated=generated)
        for tokens, free, generated in (
            (1024, 60 * GIB, True), (4096, 60 * GIB, True), (1024, 60 * GIB, False),
            (4096, 2**20, True),
        )
    ]  # fmt: skip
    assert sizes[-1] == 1
    assert LARGEST_BATCH >= sizes[0] >= sizes[1] > sizes[2] > 1
    for size in sizes:
        assert size & (size - 1) == 0
    for tokens, size, generated in ((4096, sizes[1], True), (1024, sizes[2], False)):
        assert size * count_row_bytes(QWEN, 2, tokens, generated=generated) <= 60 * GIB
