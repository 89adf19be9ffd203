"""Stored K and V on disk: quantised rows of kept tokens, in shards that are whole or absent.

A shard holds `rows` (kept token x columns) and `tokens` (kept token x group: its position in its
text). In float32 rows are what the teacher gave. In bfloat16 and int8 the mean of each column is
taken away first, since keys carry a constant hundreds of times their standard deviation. Means and
int8's scales are those of the shard's own rows: no second pass over the teacher, and no value lies
beyond the scale, so that an error is never more than half of one.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor

from kvdistill import layout
from kvdistill.data.prompt_style import Style
from kvdistill.errors import ConfigError
from kvdistill.files import read_json, remove_parts, sha256, write_json

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
INT8_LEVELS = 127
SHARD_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a store keeps: the fields of its YAML."""

    style: Style
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError(
                f"source.stored.dtype={self.dtype} is none of {', '.join(DTYPES)}. Choose one."
            )


@dataclass(frozen=True)
class QuantisedRows:
    """Rows as they are stored, with what dequantises them; rows of float32 have neither."""

    rows: Tensor
    mean: Float[Tensor, " columns"] | None = None
    scale: Float[Tensor, " columns"] | None = None

    @classmethod
    def quantise(cls, rows: Float[Tensor, "kept columns"], dtype: str) -> "QuantisedRows":
        """The rows in this dtype, one of `DTYPES`. See `bound_error` for what is lost."""
        rows = rows.float()
        if dtype == "float32":
            return cls(rows)
        mean = rows.double().mean(dim=0).float()
        centred = rows - mean
        if dtype == "bfloat16":
            return cls(centred.bfloat16(), mean)
        scale = centred.abs().amax(dim=0) / INT8_LEVELS
        # A column that does not vary would be divided by 0; its rows are 0 at any scale.
        scale = scale.clamp(min=torch.finfo(torch.float32).tiny)
        levels = (centred / scale).round().clamp(-INT8_LEVELS, INT8_LEVELS)
        return cls(levels.to(torch.int8), mean, scale)

    def dequantise(self, at: Int[Tensor, " some"]) -> Float[Tensor, "some columns"]:
        """These rows in float32."""
        rows = self.rows.index_select(0, at).float()
        if self.scale is not None:
            rows.mul_(self.scale)
        return rows if self.mean is None else rows.add_(self.mean)

    def bound_error(self, at: Int[Tensor, " some"]) -> Float[Tensor, "some columns"]:
        """How far each number may be from the teacher's, by rounding.

        Half a scale for int8; for bfloat16 half a unit in the last of its 8 bits, of the centred
        value; and for both what float32 rounds where the mean is taken away and put back.
        """
        rows = self.rows.index_select(0, at).float()
        if self.mean is None:
            return torch.zeros_like(rows)
        centred = rows.abs() if self.scale is None else rows.abs() * self.scale
        step = 2.0**-7 * centred if self.scale is None else self.scale
        return step / 2 + 2.0**-22 * (centred + self.mean.abs())

    def save(self, path: Path, tokens: Int[Tensor, "kept groups"]) -> None:
        """Writes a shard in one step: to a temporary file that is renamed into its place."""
        tensors = {"rows": self.rows.contiguous(), "tokens": tokens.int().contiguous()}
        tensors |= {} if self.mean is None else {"mean": self.mean}
        tensors |= {} if self.scale is None else {"scale": self.scale}
        temporary = path.with_name(f".{path.name}.part")
        save_file(tensors, temporary)
        # Synced before it is renamed: else a power cut may leave the name without the bytes.
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


@dataclass
class ShardIndex:
    """The finished shards of a store that is being built, so that a killed build continues."""

    folder: Path
    fingerprints: Mapping[str, str]

    def __post_init__(self) -> None:
        """Removes temporary files, and shards of other fingerprints or without an entry."""
        remove_parts(self.folder)
        path = self.folder / layout.SHARD_INDEX
        saved = read_json(path) if path.is_file() else {"prints": {}, "shards": {}}
        # Nothing that was made of other weights, texts or settings is taken over.
        self.shards: dict[str, str] = (
            saved["shards"] if saved["prints"] == self.fingerprints else {}
        )
        for shard in self.folder.glob("shard-*.safetensors"):
            if shard.name not in self.shards:
                shard.unlink()

    def has_shard(self, number: int) -> bool:
        """Whether the shard is there with the content hash that it was written with."""
        path = shard_path(self.folder, number)
        return path.is_file() and self.shards.get(path.name) == sha256(path)

    def add_shard(
        self, number: int, rows: QuantisedRows, tokens: Int[Tensor, "kept groups"]
    ) -> None:
        """Writes a shard, then names it in the index."""
        path = shard_path(self.folder, number)
        # In this order: a kill between the two leaves a shard unnamed, which is written again.
        rows.save(path, tokens)
        self.shards[path.name] = sha256(path)
        write_json(
            self.folder / layout.SHARD_INDEX,
            {"prints": dict(self.fingerprints), "shards": self.shards},
        )

    def delete(self) -> None:
        """Removes the index: from here on the manifest holds the hashes."""
        (self.folder / layout.SHARD_INDEX).unlink()


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard."""
    return folder / f"shard-{number:05d}.safetensors"


def hash_token_ids(ids: Int[Tensor, "batch seq"], mask: Tensor) -> Int[Tensor, " batch"]:
    """A 64-bit hash of each text's token ids and their positions, whatever the padding."""
    # Mixed in the manner of SplitMix64; products wrap around in int64.
    ids, mask = ids.cpu(), mask.cpu()
    x = (ids * 65_537 + torch.arange(ids.shape[1]) + 1) * -7046029254386353131
    x = (x ^ (x >> 29)) * -4658895280553007687
    return (x ^ (x >> 32)).masked_fill(~mask, 0).sum(dim=1)
