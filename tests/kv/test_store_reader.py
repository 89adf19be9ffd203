"""Every byte of a shard is proven when it is read first, and only what is read."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from kvdistill.errors import ArtifactError
from kvdistill.kv.quantise import QuantisedRows
from kvdistill.kv.shard_writer import (
    ShardText,
    is_whole_shard,
    read_shard_digests,
    write_shard,
)
from kvdistill.kv.store_index import StoreIndex, stack_digests
from kvdistill.kv.store_reader import StoreReader

COUNTS = [[3, 2, 4], [1, 5]]
"""Rows of each text of each shard."""
COLUMNS, GROUPS = 6, 2


def make_rows(dtype: str) -> list[QuantisedRows]:
    generator = torch.Generator().manual_seed(0)
    return [
        QuantisedRows.quantise(torch.randn(sum(each), COLUMNS, generator=generator) + 9, dtype)
        for each in COUNTS
    ]


def list_texts(shard: int) -> list[ShardText]:
    return [ShardText(f"{shard}.{at}", count) for at, count in enumerate(COUNTS[shard])]


def write_store(folder: Path, dtype: str = "int8") -> StoreIndex:
    for number, rows in enumerate(make_rows(dtype)):
        positions = torch.arange(len(rows.rows) * GROUPS).view(-1, GROUPS)
        write_shard(folder, number, rows, positions, list_texts(number), "this")
    digests = [read_shard_digests(folder, number) for number in range(len(COUNTS))]
    return StoreIndex(
        shard=torch.tensor([0, 0, 0, 1, 1]),
        start=torch.tensor([0, 3, 5, 0, 1]),
        count=torch.tensor([3, 2, 4, 1, 5]),
        signature=torch.zeros(5, dtype=torch.long),
        text_digest=stack_digests([each for _, texts in digests for each in texts]),
        shard_digest=stack_digests([own for own, _ in digests]),
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_texts_are_read_shard_after_shard_with_their_own_constants(tmp_path, dtype):
    index = write_store(tmp_path, dtype)
    read = StoreReader(tmp_path, index).read_texts(torch.tensor([4, 1, 0]))
    first, second = make_rows(dtype)
    decoded = [torch.empty(len(each.rows), COLUMNS) for each in (first, second)]
    for rows, out in zip((first, second), decoded, strict=True):
        rows.dequantise(out)
    assert torch.equal(read.dequantise(), torch.cat([decoded[0][:5], decoded[1][1:6]]))
    assert read.sample.tolist() == [2, 2, 2, 1, 1, 0, 0, 0, 0, 0]
    assert read.positions[:, 0].tolist() == [0, 2, 4, 6, 8, 2, 4, 6, 8, 10]
    assert read.rows.dtype == first.rows.dtype
    assert list(read.lengths) == [5, 5]


def find_regions(path: Path) -> dict[str, tuple[int, int]]:
    """Name -> first and last byte, of everything that a shard consists of."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__")
    regions = {
        name: (8 + size + each["data_offsets"][0], 8 + size + each["data_offsets"][1] - 1)
        for name, each in header.items()
    }
    assert sum(last - first + 1 for first, last in regions.values()) + 8 + size == len(data)
    return regions | {"length": (0, 7), "header": (8, 8 + size - 1)}


@pytest.mark.parametrize("bit", [0, 7])
@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("region", ["length", "header", "mean", "scale", "rows", "tokens"])
def test_a_bit_that_changed_anywhere_in_a_shard_is_refused_by_name(tmp_path, region, end, bit):
    index = write_store(tmp_path)
    path = tmp_path / "shard-00000.safetensors"
    assert is_whole_shard(tmp_path, 0, list_texts(0), "this")
    data = bytearray(path.read_bytes())
    data[find_regions(path)[region][end]] ^= 1 << bit
    path.write_bytes(data)
    reader = StoreReader(tmp_path, index)
    with pytest.raises(ArtifactError, match=r"shard-00000\.safetensors is altered since it was"):
        reader.read_texts(torch.tensor([0, 1, 2]))
    assert len(reader.read_texts(torch.tensor([3, 4])).rows) == 6


@pytest.mark.parametrize("region", ["length", "mean", "scale", "rows", "tokens"])
def test_a_build_takes_over_no_shard_that_was_spoilt(tmp_path, region):
    write_store(tmp_path)
    path = tmp_path / "shard-00000.safetensors"
    data = bytearray(path.read_bytes())
    data[find_regions(path)[region][1]] ^= 1
    path.write_bytes(data)
    assert not is_whole_shard(tmp_path, 0, list_texts(0), "this")
    assert not is_whole_shard(tmp_path, 1, list_texts(1), "other")
    assert not is_whole_shard(tmp_path, 1, list_texts(0), "this")
    assert not is_whole_shard(tmp_path, 2, [], "this")
    assert is_whole_shard(tmp_path, 1, list_texts(1), "this")


def test_a_process_hashes_what_it_reads_once_and_nothing_else(tmp_path, monkeypatch):
    from kvdistill.kv import shards

    index = write_store(tmp_path)
    hashed: list[int] = []
    original = hashlib.sha256

    def note(data: bytes = b"") -> "hashlib._Hash":
        hashed.append(len(data))
        return original(data)

    monkeypatch.setattr(shards.hashlib, "sha256", note)
    reader = StoreReader(tmp_path, index)
    for _ in range(3):
        reader.read_texts(torch.tensor([0, 1]))
    constants, *rows = hashed
    assert rows == [3 * COLUMNS, 2 * COLUMNS]
    assert constants > 2 * 4 * COLUMNS


@pytest.mark.parametrize("fault", ["missing", "short", "denied"])
def test_a_shard_that_cannot_be_read_is_named(tmp_path, fault, monkeypatch):
    index = write_store(tmp_path)
    path = tmp_path / "shard-00000.safetensors"
    if fault == "missing":
        path.unlink()
    elif fault == "short":
        path.write_bytes(path.read_bytes()[:-1])
    else:

        def deny(self: Path, *_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", deny)
    with pytest.raises(ArtifactError, match=r"shard-00000\.safetensors (is|cannot be)"):
        StoreReader(tmp_path, index).read_texts(torch.tensor([0, 1, 2]))


def test_where_there_is_a_gpu_rows_lie_in_pinned_memory(tmp_path, monkeypatch):
    from kvdistill.kv import store_reader

    index, pinned = write_store(tmp_path), []
    original = torch.empty

    def allocate(*shape: object, pin_memory: bool = False, **named: object) -> torch.Tensor:
        pinned.append(pin_memory)
        return original(*shape, **named)

    monkeypatch.setattr(store_reader.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(store_reader.torch, "empty", allocate)
    StoreReader(tmp_path, index).read_texts(torch.tensor([0]))
    assert len(pinned) == 5
    assert all(pinned)
