"""A teacher's K and V, read once and kept: every arm, seed and fusion reads them from disk.

The teacher itself is not loaded. What is kept is only what compression left of the mapped layers,
one row a token over all of them, so that a batch is one gather and one weighted sum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.files import read_json
from kvdistill.kv.base import CompressedKV, TeacherKV, TeacherRequest
from kvdistill.kv.rotary import NO_ROTATION, Rotary
from kvdistill.kv.shards import QuantisedRows, Stored, hash_token_ids, shard_path
from kvdistill.layers.base import LayerPair
from kvdistill.types import Tokens

STORE_FILE = "store.json"
INDEX_FILE = "index.safetensors"


class Store(TeacherKV):
    """Opens a store and refuses one that was made of anything but what the run wants."""

    def __init__(self, request: TeacherRequest, *, stored: Stored) -> None:
        """Reads the index alone. Raises ArtifactError naming what differs.

        `stored` has named the folder; what it holds is told by `wanted.prints`.
        """
        assert request.store_folder is not None, "plan/graph.py gives a stored source its folder"
        self.folder = request.store_folder
        facts = read_json(self.folder / STORE_FILE)
        check_fingerprints(self.folder, facts["prints"], request.fingerprints)
        self.heads: int = facts["heads"]
        self.groups = [LayerGroup.from_json(node, request) for node in facts["groups"]]
        self.index = load_file(self.folder / INDEX_FILE)
        self.numbers = {text: number for number, text in enumerate(facts["texts"])}
        self.shards: dict[int, MappedShard] = {}
        self.rotaries = self.load_rotaries(request, facts["unturned"])

    def load_rotaries(self, wanted: TeacherRequest, why_not: str | None) -> dict[int, Rotary]:
        """The teacher's rotary as it was when the store was built, where position turns keys."""
        if not wanted.needs_rotary:
            return dict.fromkeys(wanted.teacher_layers, NO_ROTATION)
        if why_not is not None:
            raise ConfigError(why_not)
        frequencies, scaling = self.index["inv_freq"], self.index["attention_scaling"]
        turns = [Rotary(f, float(s)) for f, s in zip(frequencies, scaling, strict=True)]
        return dict(zip(wanted.teacher_layers, turns, strict=True))

    @torch.no_grad()
    def read_kv(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """Gathers the texts' rows. Raises ArtifactError for a text that is not stored as it is."""
        numbers = self.find_texts(tokens, ids)
        flat, at, sample = self.gather_rows(numbers)
        flat, device = flat.to(tokens.ids.device), tokens.ids.device
        rows = torch.arange(len(flat))
        kept = []
        for number, group in enumerate(self.groups):
            table = torch.full(tokens.ids.shape, -1)
            table[sample, at[:, number]] = rows
            kept.append(
                CompressedKV(
                    layer_pairs=group.layer_pairs,
                    teacher_layers=group.teacher_layers,
                    flat_kv=flat if len(self.groups) == 1 else flat[:, group.columns],
                    row_of_token=table.to(device),
                    positions=at[:, number].to(device),
                    heads=self.heads,
                )
            )
        return kept

    def find_texts(self, tokens: Tokens, ids: Sequence[str]) -> Int[Tensor, " batch"]:
        """The number of each text, if it is stored and was read as it is read now."""
        missing = [text for text in ids if text not in self.numbers]
        if missing:
            raise ArtifactError(
                f"text {missing[0]} is not in {self.folder}, which holds the student's half of "
                f"train and the validation texts. Use source=online for other texts."
            )
        numbers = torch.tensor([self.numbers[text] for text in ids])
        wrong = hash_token_ids(tokens.ids, tokens.mask) != self.index["signature"][numbers]
        if bool(wrong.any()):
            raise ArtifactError(
                f"text {ids[int(wrong.long().argmax())]} has other teacher tokens than when "
                f"{self.folder} was built. Delete {self.folder} and repeat the command."
            )
        return numbers

    def gather_rows(
        self, numbers: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "rows columns"], Int[Tensor, "rows groups"], Int[Tensor, " rows"]]:
        """(rows, their tokens' positions, their texts' places), in whichever order they lie."""
        shard = self.index["shard"][numbers]
        parts = []
        for number in shard.unique().tolist():
            sample = (shard == number).nonzero().flatten()
            mine = numbers[sample]
            count, start = self.index["count"][mine], self.index["start"][mine]
            first = (start - (count.cumsum(0) - count)).repeat_interleave(count)
            at = first + torch.arange(len(first))
            opened = self.open_shard(number)
            parts.append(
                (opened.coded.dequantise(at), opened.tokens[at].long(),
                 sample.repeat_interleave(count))
            )  # fmt: skip
        if len(parts) == 1:
            return parts[0]
        rows, tokens, samples = (torch.cat(column) for column in zip(*parts, strict=True))
        return rows, tokens, samples

    def open_shard(self, number: int) -> "MappedShard":
        """The shard, mapped into memory at its first use."""
        if number not in self.shards:
            self.shards[number] = MappedShard(shard_path(self.folder, number))
        return self.shards[number]


@dataclass(frozen=True)
class LayerGroup:
    """Student layers whose kept tokens are the same, and where a row holds their teacher layers."""

    layer_pairs: list[LayerPair]
    teacher_layers: list[int]
    columns: slice

    @classmethod
    def from_json(cls, node: Mapping[str, Any], wanted: TeacherRequest) -> "LayerGroup":
        """From what the store says of itself."""
        sources = [
            source for source in wanted.layer_pairs if source.student_layer in node["students"]
        ]
        return cls(sources, list(node["layers"]), slice(*node["columns"]))


@dataclass
class MappedShard:
    """A shard's tensors, mapped: pages are read when they are needed and given back freely."""

    path: Path

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        with safe_open(self.path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    @cached_property
    def coded(self) -> QuantisedRows:
        return QuantisedRows(
            self.tensors["rows"], self.tensors.get("mean"), self.tensors.get("scale")
        )

    @property
    def tokens(self) -> Int[Tensor, "kept groups"]:
        return self.tensors["tokens"]


def check_fingerprints(folder: Path, made_of: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raises ArtifactError naming what the store was made of and the run does not want."""
    for name, value in wanted.items():
        if made_of.get(name) != value:
            raise ArtifactError(
                f"{folder} holds K and V of another {name} ({made_of.get(name)}) than this run's "
                f"({value}). Delete {folder} and repeat the command."
            )
