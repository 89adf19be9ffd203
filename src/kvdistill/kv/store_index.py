"""What a store says of itself: what it was made of, and where each of its texts lies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor

from kvdistill import layout
from kvdistill.errors import ArtifactError
from kvdistill.files import read_json, write_json
from kvdistill.kv.base import TeacherRequest
from kvdistill.layers.base import LayerPair
from kvdistill.records import SCHEMA_VERSION


@dataclass(frozen=True)
class LayerGroup:
    """Student layers whose kept tokens are the same, and where a row holds their teacher layers.

    Where heads keep tokens of their own, one head of them.
    """

    students: Sequence[int]
    """The student layers."""
    layers: Sequence[int]
    """The teacher layers whose keys and values stand in the columns, in order."""
    first: int
    stop: int
    """The columns of a row are first .. stop."""
    head: int | None = None

    @property
    def columns(self) -> slice:
        """Where a row holds them."""
        return slice(self.first, self.stop)

    def select_pairs(self, request: TeacherRequest) -> list[LayerPair]:
        """The request's pairs of these student layers."""
        return [pair for pair in request.layer_pairs if pair.student_layer in self.students]


@dataclass(frozen=True, kw_only=True)
class StoreFacts:
    """store.json."""

    fingerprints: Mapping[str, str]
    """Name -> content hash of everything that the store was built from."""
    heads: int
    """KV heads of the teacher."""
    groups: Sequence[LayerGroup]
    rotary_refusal: str | None
    """Why the teacher's rotaries could not be stored; None where they are."""
    texts: Sequence[str]
    """Ids, in the order of the index."""

    def write(self, folder: Path) -> None:
        """Writes store.json."""
        node = {field.name: getattr(self, field.name) for field in fields(self)}
        groups = [vars(group) for group in self.groups]
        write_json(
            folder / layout.STORE,
            {"schema_version": SCHEMA_VERSION} | node | {"groups": groups},
        )

    @classmethod
    def read(cls, folder: Path) -> "StoreFacts":
        """What `write` wrote. Raises ArtifactError naming a file that is not that."""
        path = folder / layout.STORE
        try:
            node: dict[str, Any] = read_json(path)
            del node["schema_version"]
            return cls(**node | {"groups": [LayerGroup(**group) for group in node["groups"]]})
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                f"{path} is not as this version writes it: {error}. Delete {folder} and repeat "
                f"the command."
            ) from error

    def check_fingerprints(self, folder: Path, required: Mapping[str, str]) -> None:
        """Raises ArtifactError naming the first thing that the store was not made of."""
        for name, value in required.items():
            if self.fingerprints.get(name) != value:
                held = "K and V" if any(each.layers for each in self.groups) else "states"
                raise ArtifactError(
                    f"{folder} holds {held} of another {name} ({self.fingerprints.get(name)}) "
                    f"than this run's ({value}). Delete {folder} and repeat the command."
                )


@dataclass(frozen=True, kw_only=True)
class StoreIndex:
    """index.safetensors: where each text lies, and the digests that prove what is read."""

    shard: Int[Tensor, " texts"]
    start: Int[Tensor, " texts"]
    """First of its rows in the shard."""
    count: Int[Tensor, " texts"]
    """Number of its rows."""
    signature: Int[Tensor, " texts"]
    """`hash_token_ids` of the teacher's tokens."""
    text_digest: UInt8[Tensor, "texts 32"]
    """sha256 of its rows and its tokens' positions."""
    shard_digest: UInt8[Tensor, "shards 32"]
    """sha256 of a shard's header and constants."""
    inv_freq: Float[Tensor, "layers half_dim"] | None = None
    """Of the teacher's rotaries, a row a layer; None where they could not be stored."""
    attention_scaling: Float[Tensor, " layers"] | None = None

    def write(self, folder: Path) -> None:
        """Writes index.safetensors."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        save_file(
            {name: each for name, each in named.items() if each is not None},
            folder / layout.STORE_INDEX,
        )

    @classmethod
    def read(cls, folder: Path) -> "StoreIndex":
        """What `write` wrote."""
        return cls(**load_file(folder / layout.STORE_INDEX))


def stack_digests(digests: Sequence[bytes]) -> UInt8[Tensor, "digests 32"]:
    """A row a digest."""
    return torch.frombuffer(bytearray(b"".join(digests)), dtype=torch.uint8).view(-1, 32)


def hash_token_ids(ids: Int[Tensor, "batch seq"], mask: Tensor) -> Int[Tensor, " batch"]:
    """A 64-bit hash of each text's token ids and their positions, whatever the padding."""
    # Mixed in the manner of SplitMix64; products wrap around in int64.
    ids, mask = ids.cpu(), mask.cpu()
    x = (ids * 65_537 + torch.arange(ids.shape[1]) + 1) * -7046029254386353131
    x = (x ^ (x >> 29)) * -4658895280553007687
    return (x ^ (x >> 32)).masked_fill(~mask, 0).sum(dim=1)
