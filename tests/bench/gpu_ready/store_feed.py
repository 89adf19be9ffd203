"""How long a step waits for its stored K and V, read ahead and read in place, from a slow disk.

The store has the K and V of the study's 7B teacher at its true width. The disk is rationed: it
gives a micro-batch in DISK_SHARE of a step, and the step itself computes elsewhere, as on a GPU.
What is measured is the median wait a step, so that other load on the machine says little.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from kvdistill.kv import store_reader
from kvdistill.kv.quantise import QuantisedRows
from kvdistill.kv.read_ahead import ReadAhead
from kvdistill.kv.shard_writer import ShardText, read_shard_digests, write_shard
from kvdistill.kv.shards import read_into
from kvdistill.kv.store_index import StoreIndex, stack_digests
from kvdistill.kv.store_reader import StoredRows, StoreReader
from kvdistill.kv.stored_texts import DEPTH
from tests.bench.gpu_ready.part import Part

COLUMNS = 28 * 2 * 4 * 128
"""Layers x keys and values x KV heads x head size of Qwen2.5-7B."""
ROWS, TEXTS_A_SHARD, TEXTS_A_BATCH = 32, 4, 2
STEP_S = 0.4
DISK_SHARE = 0.75


def measure(quick: bool) -> dict[str, float]:
    """Seconds that a step waits, and what a step takes over one that reads nothing."""
    steps = 6 if quick else 16
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = write_store(folder, steps * TEXTS_A_BATCH)
        batches = torch.randperm(
            len(index.count), generator=torch.Generator().manual_seed(0)
        ).split(TEXTS_A_BATCH)
        ahead = measure_waits(folder, index, batches, announce=True)
        in_place = measure_waits(folder, index, batches, announce=False)
        stored = StoreReader(folder, index).read_texts(batches[0])
    moved = sum(each.nbytes for each in list_tensors(stored))
    return {
        "store_wait_s_ahead": ahead,
        "store_wait_s_in_place": in_place,
        "stored_step_over_step": 1 + ahead / STEP_S,
        "stored_step_over_step_in_place": 1 + in_place / STEP_S,
        "stored_bytes_moved_over_decoded": moved / stored.dequantise().nbytes,
    }


def write_store(folder: Path, texts: int) -> StoreIndex:
    """A store of so many texts of ROWS rows in bfloat16."""
    shards = range(-(-texts // TEXTS_A_SHARD))
    generator = torch.Generator().manual_seed(0)
    for number in shards:
        rows = torch.randn(TEXTS_A_SHARD * ROWS, COLUMNS, generator=generator)
        names = [ShardText(f"{number}.{text}", ROWS) for text in range(TEXTS_A_SHARD)]
        positions = torch.arange(ROWS).repeat(TEXTS_A_SHARD)[:, None]
        write_shard(
            folder, number, QuantisedRows.quantise(rows, "bfloat16"), positions, names, "bench"
        )
    digests = [read_shard_digests(folder, number) for number in shards]
    count = len(shards) * TEXTS_A_SHARD
    return StoreIndex(
        shard=torch.arange(count) // TEXTS_A_SHARD,
        start=torch.arange(count) % TEXTS_A_SHARD * ROWS,
        count=torch.full((count,), ROWS),
        signature=torch.zeros(count, dtype=torch.long),
        text_digest=stack_digests([each for _, texts in digests for each in texts]),
        shard_digest=stack_digests([own for own, _ in digests]),
    )


def measure_waits(
    folder: Path, index: StoreIndex, batches: Sequence[torch.Tensor], announce: bool
) -> float:
    """Median seconds that steps after the first wait for their micro-batch."""
    bytes_a_second = TEXTS_A_BATCH * ROWS * COLUMNS * 2 / (DISK_SHARE * STEP_S)

    def read_slowly(file: Any, path: Path, start: int, buffer: memoryview) -> None:
        read_into(file, path, start, buffer)
        time.sleep(len(buffer) / bytes_a_second)

    reader = StoreReader(folder, index)
    reads = ReadAhead(reader.read_texts, DEPTH, "bench-store")
    waits = []
    with mock.patch.object(store_reader, "read_into", read_slowly):
        for number, batch in enumerate(batches):
            # As the loader does: the next micro-batch is collated before this one is computed.
            if announce and number + 1 < len(batches):
                reads.announce(number + 1, batches[number + 1])
            before = reads.waited_s
            reads.take(number, batch)
            waits.append(reads.waited_s - before)
            time.sleep(STEP_S)
    reads.close()
    return statistics.median(waits[1:])


def list_tensors(stored: StoredRows) -> list[torch.Tensor]:
    """What moves to the device."""
    return [each for each in vars(stored).values() if isinstance(each, torch.Tensor)]


PART = Part(
    measure=measure,
    at_most={"stored_step_over_step": 1.10, "stored_bytes_moved_over_decoded": 0.55},
    # Else the disk was not slow, and the other figure says nothing.
    at_least={"stored_step_over_step_in_place": 1.5},
)
