"""Stored K and V on disk: rows of kept tokens, in shards that are whole or absent.

A shard holds `rows` (kept token x columns) and `tokens` (kept token x group: its position in its
text). In float32 rows are what the teacher gave. In fewer bits they are what is left without the
mean of their column, since keys carry a constant hundreds of times their spread; means and int8's
scales are those of the shard's own rows, taken while they are at hand: no second pass over the
teacher, and no value lies beyond the scale, so that an error is never more than half of one.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor

from kvdistill.data.prompt_style import Style
from kvdistill.errors import ConfigError
from kvdistill.files import read_json, sha256, write_json

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
INT8_LEVELS = 127
SHARD_BYTES = 64 * 2**20
SHARD_INDEX = "shards.json"
"""While a store is built: the shards that stand, and what they are made of."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a store keeps, as its YAML says it."""

    style: Style
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError(
                f"source.stored.dtype={self.dtype} is none of {', '.join(DTYPES)}. Choose one."
            )


@dataclass(frozen=True)
class QuantisedRows:
    """Rows as they are stored, and what turns them back into numbers."""

    rows: Tensor
    mean: Float[Tensor, " columns"] | None = None
    scale: Float[Tensor, " columns"] | None = None

    @classmethod
    def quantise(cls, rows: Float[Tensor, "kept columns"], dtype: str) -> "QuantisedRows":
        """The rows in fewer bits. See `error` for what is lost."""
        rows = rows.float()
        if dtype == "float32":
            return cls(rows)
        mean = rows.double().mean(dim=0).float()
        rest = rows - mean
        if dtype == "bfloat16":
            return cls(rest.bfloat16(), mean)
        # A column that does not vary has any scale.
        scale = (rest.abs().amax(dim=0) / INT8_LEVELS).clamp(min=torch.finfo(torch.float32).tiny)
        return cls(
            (rest / scale).round().clamp(-INT8_LEVELS, INT8_LEVELS).to(torch.int8), mean, scale
        )

    def dequantise(self, at: Int[Tensor, " some"]) -> Float[Tensor, "some columns"]:
        """These rows in float32."""
        rows = self.rows.index_select(0, at).float()
        if self.scale is not None:
            rows.mul_(self.scale)
        return rows if self.mean is None else rows.add_(self.mean)

    def bound_error(self, at: Int[Tensor, " some"]) -> Float[Tensor, "some columns"]:
        """How far each number may be from the teacher's: the rounding of its coding.

        Half a scale for int8, half a unit in the last of bfloat16's 8 bits of what is left without
        the mean; and what float32 rounds where the mean is taken away and put back.
        """
        rows = self.rows.index_select(0, at).float()
        if self.mean is None:
            return torch.zeros_like(rows)
        rest = rows.abs() if self.scale is None else rows.abs() * self.scale
        step = 2.0**-7 * rest if self.scale is None else self.scale
        return step / 2 + 2.0**-22 * (rest + self.mean.abs())

    def save(self, path: Path, tokens: Int[Tensor, "kept groups"]) -> None:
        """Writes a shard beside its place, then renames it there."""
        tensors = {"rows": self.rows.contiguous(), "tokens": tokens.int().contiguous()}
        tensors |= {} if self.mean is None else {"mean": self.mean}
        tensors |= {} if self.scale is None else {"scale": self.scale}
        beside = path.with_name(f".{path.name}.part")
        save_file(tensors, beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)


@dataclass
class ShardIndex:
    """Which shards of an unfinished store stand; one that is not as it was written is not."""

    folder: Path
    fingerprints: Mapping[str, str]

    def __post_init__(self) -> None:
        """Shards that are made of anything else are thrown away."""
        for part in self.folder.glob(".*.part"):
            part.unlink()
        path = self.folder / SHARD_INDEX
        found = read_json(path) if path.is_file() else {"prints": {}, "shards": {}}
        self.shards: dict[str, str] = (
            found["shards"] if found["prints"] == self.fingerprints else {}
        )
        for shard in self.folder.glob("shard-*.safetensors"):
            if shard.name not in self.shards:
                shard.unlink()

    def has_shard(self, number: int) -> bool:
        """Whether the shard is there, to the byte."""
        path = shard_path(self.folder, number)
        return path.is_file() and self.shards.get(path.name) == sha256(path)

    def add_shard(
        self, number: int, coded: QuantisedRows, tokens: Int[Tensor, "kept groups"]
    ) -> None:
        """Writes a shard, then says so."""
        path = shard_path(self.folder, number)
        coded.save(path, tokens)
        self.shards[path.name] = sha256(path)
        write_json(
            self.folder / SHARD_INDEX, {"prints": dict(self.fingerprints), "shards": self.shards}
        )

    def delete(self) -> None:
        """The manifest takes over."""
        (self.folder / SHARD_INDEX).unlink()


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / f"shard-{number:05d}.safetensors"


def hash_token_ids(ids: Int[Tensor, "batch seq"], mask: Tensor) -> Int[Tensor, " batch"]:
    """A 64-bit hash of each text's tokens and their places, whatever the padding."""
    ids, mask = ids.cpu(), mask.cpu()
    x = (ids * 65_537 + torch.arange(ids.shape[1]) + 1) * -7046029254386353131
    x = (x ^ (x >> 29)) * -4658895280553007687
    return (x ^ (x >> 32)).masked_fill(~mask, 0).sum(dim=1)
