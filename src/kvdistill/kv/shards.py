"""A shard of a store as it lies on disk, every byte of it covered by a digest.

A shard is a safetensors file with `rows` (kept token x columns), `tokens` (kept token x group: its
position in its text) and what dequantises the rows (`mean`, `scale`). A text's rows lie together,
and have a digest of their own, so that who reads a text proves its bytes and no others. All else of
the file, that is its header and the columns' constants, has one digest a shard.

The header states what the shard was made of and the digests of its texts: a build that was killed
knows by a shard alone whether it is one of its own, and whether it is whole.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import torch

from kvdistill.data.prompt_style import Style
from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.files import describe_change
from kvdistill.kv.quantise import DTYPES

CONSTANTS = ("mean", "scale")
"""Tensors of a shard that belong to its columns."""
STATE_DTYPES = ("float32", "bfloat16")
LENGTH_BYTES = 8
"""A safetensors file begins with the length of its header, little-endian."""
TENSOR_DTYPES = {
    "F32": torch.float32, "BF16": torch.bfloat16, "I8": torch.int8, "I32": torch.int32,
}  # fmt: skip
"""Names of the safetensors format for what a shard holds."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a store keeps: the fields of its YAML."""

    style: Style
    dtype: str
    """Of K and V."""
    states: str = "bfloat16"
    """Of the last hidden states of answers: exact where the teacher computes in it."""

    def __post_init__(self) -> None:
        for key, choices in (("dtype", tuple(DTYPES)), ("states", STATE_DTYPES)):
            if (value := getattr(self, key)) not in choices:
                raise ConfigError(
                    f"source.stored.{key}={value} is none of {', '.join(choices)}. Choose one."
                )


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in a shard."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    """Its first byte in the file."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one row; of a vector, of one number."""
        numbers = 1
        for length in self.shape[1:]:
            numbers *= length
        return numbers * self.dtype.itemsize

    @property
    def stop(self) -> int:
        """The byte behind its last."""
        return self.start + self.shape[0] * self.row_bytes


@dataclass(frozen=True)
class ShardHeader:
    """The beginning of a shard: where its tensors lie, and what its maker states of it."""

    tensors: Mapping[str, StoredTensor]
    contents: Mapping[str, Any]
    raw: bytes
    """The header as it lies on disk, its length before it."""

    @classmethod
    def read(cls, file: FileIO, path: Path) -> "ShardHeader":
        """Raises ArtifactError where the file does not begin as a shard does."""
        try:
            length = read_bytes(file, path, 0, LENGTH_BYTES)
            # A spoilt length must not be room that is asked for.
            size = min(int.from_bytes(length, "little"), os.fstat(file.fileno()).st_size)
            header = read_bytes(file, path, LENGTH_BYTES, LENGTH_BYTES + size)
            node = json.loads(header)
            contents = json.loads(node.pop("__metadata__")["contents"])
            first = LENGTH_BYTES + size
            tensors = {
                name: StoredTensor(
                    TENSOR_DTYPES[each["dtype"]], tuple(each["shape"]),
                    first + each["data_offsets"][0],
                )
                for name, each in node.items()
            }  # fmt: skip
            return cls(tensors, contents, length + header)
        # Whatever a spoilt byte makes of it: no JSON, a field that is not there, an absurd length.
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise ArtifactError(describe_change(path.parent, path)) from error


def read_constants(file: FileIO, path: Path, header: ShardHeader) -> bytes:
    """The bytes of a shard's `mean` and `scale`, where it has them."""
    tensors = [header.tensors[name] for name in CONSTANTS if name in header.tensors]
    return b"".join(read_bytes(file, path, each.start, each.stop) for each in tensors)


def read_stored_rows(
    file: FileIO, path: Path, tensor: StoredTensor, first: int, count: int
) -> bytes:
    """The bytes of `count` rows of a tensor from the row `first` on."""
    start = tensor.start + first * tensor.row_bytes
    return read_bytes(file, path, start, start + count * tensor.row_bytes)


def read_bytes(file: FileIO, path: Path, start: int, stop: int) -> bytes:
    """These bytes of the file. Raises ArtifactError where it has fewer, or cannot be read."""
    buffer = bytearray(stop - start)
    read_into(file, path, start, memoryview(buffer))
    return bytes(buffer)


def read_into(file: FileIO, path: Path, start: int, buffer: memoryview) -> None:
    """Fills the buffer with the file's bytes from `start` on. Raises as `read_bytes` does."""
    at = 0
    try:
        file.seek(start)
        # One call gives 2 GiB at most, and less where a signal came.
        while at < len(buffer) and (count := file.readinto(buffer[at:])):
            at += count
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error}. Repeat the command.") from error
    if at < len(buffer):
        raise ArtifactError(describe_change(path.parent, path))


def digest_stored_text(rows: Any, tokens: Any) -> bytes:
    """sha256 of the bytes of a text's rows, then of its tokens' positions."""
    digest = hashlib.sha256(rows)
    digest.update(tokens)
    return digest.digest()


def digest_constants(header: ShardHeader, constants: bytes) -> bytes:
    """sha256 of all of a shard but its texts: its header, then what dequantises its rows."""
    return hashlib.sha256(header.raw + constants).digest()
