"""Writes the shards of a store, each whole or absent, and tells a whole one from any other."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path

import torch
from jaxtyping import Int
from safetensors.torch import save_file
from torch import Tensor

from kvdistill import layout
from kvdistill.errors import ArtifactError
from kvdistill.kv.quantise import QuantisedRows
from kvdistill.kv.shards import (
    CONSTANTS,
    ShardHeader,
    digest_constants,
    digest_stored_text,
    read_constants,
    read_stored_rows,
)

SHARD_BYTES = 64 * 2**20


@dataclass(frozen=True)
class ShardText:
    """A text of a shard: how many rows it has, and the digest of their bytes and positions."""

    id: str
    rows: int
    digest: str = ""


def write_shard(
    folder: Path,
    number: int,
    rows: QuantisedRows,
    tokens: Int[Tensor, "kept groups"],
    texts: Sequence[ShardText],
    made_of: str,
) -> None:
    """Writes a shard in one step: to a temporary file that is renamed into its place.

    `rows` and `tokens` are those of `texts`, one after the other, on the CPU; `made_of` identifies
    what the store is made of.
    """
    path = layout.shard_path(folder, number)
    tensors = {"rows": rows.rows.contiguous(), "tokens": tokens.int().contiguous()}
    tensors |= {} if rows.mean is None else {"mean": rows.mean}
    tensors |= {} if rows.scale is None else {"scale": rows.scale}
    constants = b"".join(as_bytes(tensors[name]) for name in CONSTANTS if name in tensors)
    stated, first = [], 0
    for text in texts:
        span = slice(first, first + text.rows)
        digest = digest_stored_text(
            as_bytes(tensors["rows"][span]), as_bytes(tensors["tokens"][span])
        )
        stated.append(asdict(ShardText(text.id, text.rows, digest.hex())))
        first += text.rows
    contents = {
        "made_of": made_of, "constants": hash_constants(constants), "texts": stated,
    }  # fmt: skip
    temporary = path.with_name(f".{path.name}.part")
    # One entry: the library writes several in an order that is not the same in every process.
    save_file(tensors, temporary, metadata={"contents": json.dumps(contents)})
    # Synced before it is renamed: else a power cut may leave the name without the bytes.
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def is_whole_shard(folder: Path, number: int, texts: Sequence[ShardText], made_of: str) -> bool:
    """Whether the shard is there, holds these texts, was made of that, and has not changed since.

    Reads all of it.
    """
    path = layout.shard_path(folder, number)
    if not path.is_file():
        return False
    try:
        with path.open("rb", buffering=0) as file:
            header = ShardHeader.read(file, path)
            stated = [ShardText(**text) for text in header.contents["texts"]]
            return (
                header.contents["made_of"] == made_of
                and [replace(text, digest="") for text in stated] == list(texts)
                and hash_constants(read_constants(file, path, header))
                == header.contents["constants"]
                and digest_texts(file, path, header, stated) == [text.digest for text in stated]
            )
    # A header that was spoilt lacks fields, or names other ones.
    except (ArtifactError, KeyError, TypeError):
        return False


def digest_texts(
    file: FileIO, path: Path, header: ShardHeader, texts: Sequence[ShardText]
) -> list[str]:
    """The digests of the texts as they lie there now."""
    digests, first = [], 0
    for text in texts:
        rows, tokens = (
            read_stored_rows(file, path, header.tensors[name], first, text.rows)
            for name in ("rows", "tokens")
        )
        digests.append(digest_stored_text(rows, tokens).hex())
        first += text.rows
    return digests


def hash_constants(constants: bytes) -> str:
    """sha256 of what dequantises a shard's rows, as its header states it."""
    return hashlib.sha256(constants).hexdigest()


def read_shard_digests(folder: Path, number: int) -> tuple[bytes, list[bytes]]:
    """(digest of a shard's header and constants, digest of each of its texts)."""
    path = layout.shard_path(folder, number)
    with path.open("rb", buffering=0) as file:
        header = ShardHeader.read(file, path)
        own = digest_constants(header, read_constants(file, path, header))
    return own, [bytes.fromhex(text["digest"]) for text in header.contents["texts"]]


def as_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor of the CPU, not copied."""
    return tensor.contiguous().flatten().view(torch.uint8).numpy().data
