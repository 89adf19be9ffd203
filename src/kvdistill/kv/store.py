"""A teacher's K and V from disk: stored once, read by every arm, seed and fusion.

The teacher itself is not loaded. Only what compression left of the mapped layers is stored, one row
a token over all of them, so that a batch is one gather and one weighted sum.
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
from kvdistill.kv.shards import QuantisedRows, Stored, hash_token_ids, shard_path
from kvdistill.layers.base import LayerPair
from kvdistill.models.attention.rotary import NO_ROTATION, Rotary
from kvdistill.types import Tokens

STORE_FILE = "store.json"
"""What the store was made of, its layer groups, and the ids of its texts in order."""
INDEX_FILE = "index.safetensors"
"""Shard, first row, number of rows and token hash of each text; the teacher's rotaries."""


class Store(TeacherKV):
    """Reads a store; refuses one whose fingerprints are not those of the request."""

    def __init__(self, request: TeacherRequest, *, stored: Stored) -> None:
        """Reads the index alone. Raises ArtifactError naming what differs.

        `stored` is not read: it is part of the plan, which names the store's folder by it.
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

    def load_rotaries(self, request: TeacherRequest, refusal: str | None) -> dict[int, Rotary]:
        """The teacher's rotaries as they were when the store was built, where position turns keys.

        `refusal` is why they could not be stored: raised as ConfigError only where they are needed.
        """
        if not request.needs_rotary:
            return dict.fromkeys(request.teacher_layers, NO_ROTATION)
        if refusal is not None:
            raise ConfigError(refusal)
        frequencies, scalings = self.index["inv_freq"], self.index["attention_scaling"]
        rotaries = [Rotary(f, float(s)) for f, s in zip(frequencies, scalings, strict=True)]
        return dict(zip(request.teacher_layers, rotaries, strict=True))

    @torch.no_grad()
    def read_kv_cache(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """Gathers the rows of the texts. Raises ArtifactError as `find_texts` does."""
        numbers = self.find_texts(tokens, ids)
        flat_kv, positions, sample = self.gather_rows(numbers)
        flat_kv, device = flat_kv.to(tokens.ids.device), tokens.ids.device
        # The index is on the CPU; of what is computed there only the tables of a batch move.
        rows = torch.arange(len(flat_kv))
        compressed = []
        for number, group in enumerate(self.groups):
            row_of_token = torch.full(tokens.ids.shape, -1)
            row_of_token[sample, positions[:, number]] = rows
            compressed.append(
                CompressedKV(
                    layer_pairs=group.layer_pairs,
                    teacher_layers=group.teacher_layers,
                    flat_kv=flat_kv if len(self.groups) == 1 else flat_kv[:, group.columns],
                    row_of_token=row_of_token.to(device),
                    positions=positions[:, number].to(device),
                    heads=self.heads if group.head is None else 1,
                    head=group.head,
                )
            )
        return compressed

    def find_texts(self, tokens: Tokens, ids: Sequence[str]) -> Int[Tensor, " batch"]:
        """The number of each text in the index.

        Raises ArtifactError for a text that is not stored, or whose tokens have changed since.
        """
        missing = [text for text in ids if text not in self.numbers]
        if missing:
            raise ArtifactError(
                f"text {missing[0]} is not in {self.folder}, which holds the student's half of "
                f"train and the validation texts. Use source=online for other texts."
            )
        numbers = torch.tensor([self.numbers[text] for text in ids])
        # A right id is not enough: another tokenizer or cut would give other tokens for it.
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
        """(rows, position of each row's token by group, each row's place in the batch).

        Shard after shard, so not in the order of the batch.
        """
        shard_of_text = self.index["shard"][numbers]
        parts = []
        for number in shard_of_text.unique().tolist():
            sample = (shard_of_text == number).nonzero().flatten()
            texts = numbers[sample]
            count, start = self.index["count"][texts], self.index["start"][texts]
            # Rows start .. start + count of each text: an arange over all, shifted text by text.
            shift = (start - (count.cumsum(0) - count)).repeat_interleave(count)
            at = shift + torch.arange(len(shift))
            shard = self.open_shard(number)
            parts.append(
                (shard.rows.dequantise(at), shard.tokens[at].long(),
                 sample.repeat_interleave(count))
            )  # fmt: skip
        if len(parts) == 1:  # spares a copy of the rows
            return parts[0]
        rows, positions, samples = (torch.cat(column) for column in zip(*parts, strict=True))
        return rows, positions, samples

    def open_shard(self, number: int) -> "MappedShard":
        """The shard, mapped into memory at its first use."""
        if number not in self.shards:
            self.shards[number] = MappedShard(shard_path(self.folder, number))
        return self.shards[number]


@dataclass(frozen=True)
class LayerGroup:
    """Student layers whose kept tokens are the same, and where a row holds their teacher layers.

    Where heads keep tokens of their own, one head of them.
    """

    layer_pairs: list[LayerPair]
    teacher_layers: list[int]
    columns: slice
    head: int | None = None

    def to_json(self) -> dict[str, Any]:
        """One of the `groups` of store.json; of the pairs only the student layers."""
        return {
            "students": [pair.student_layer for pair in self.layer_pairs],
            "layers": self.teacher_layers,
            "columns": [self.columns.start, self.columns.stop],
        } | ({} if self.head is None else {"head": self.head})

    @classmethod
    def from_json(cls, node: Mapping[str, Any], request: TeacherRequest) -> "LayerGroup":
        """The group that `to_json` wrote, with the pairs of the request."""
        pairs = [pair for pair in request.layer_pairs if pair.student_layer in node["students"]]
        return cls(pairs, list(node["layers"]), slice(*node["columns"]), node.get("head"))


@dataclass
class MappedShard:
    """A shard's tensors, memory-mapped: the system reads their pages when they are needed."""

    path: Path

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        with safe_open(self.path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    @cached_property
    def rows(self) -> QuantisedRows:
        return QuantisedRows(
            self.tensors["rows"], self.tensors.get("mean"), self.tensors.get("scale")
        )

    @property
    def tokens(self) -> Int[Tensor, "kept groups"]:
        return self.tensors["tokens"]


def check_fingerprints(
    folder: Path, stored: Mapping[str, str], required: Mapping[str, str]
) -> None:
    """Raises ArtifactError naming the first thing that the store was not made of."""
    for name, value in required.items():
        if stored.get(name) != value:
            raise ArtifactError(
                f"{folder} holds K and V of another {name} ({stored.get(name)}) than this run's "
                f"({value}). Delete {folder} and repeat the command."
            )
