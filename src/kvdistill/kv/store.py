"""A teacher's K and V from disk: stored once, read by every arm, seed and fusion.

The teacher itself is not loaded. Only what compression left of the mapped layers is stored, one row
a token over all of them, a text's rows one behind another: a batch is a few long reads. Stored
bytes are read ahead in threads, move to the device as they are, and are decoded there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.kv.base import CompressedKV, TeacherKV, TeacherRequest
from kvdistill.kv.read_ahead import ReadAhead
from kvdistill.kv.shards import Stored
from kvdistill.kv.store_index import StoreFacts, StoreIndex, hash_token_ids
from kvdistill.kv.store_reader import StoredRows, StoreReader, allocate_host
from kvdistill.models.attention.rotary import NO_ROTATION, Rotary
from kvdistill.types import Tokens, move_to_device

DEPTH = 2
"""Micro-batches that lie ready or are being read beside the one that is computed."""


@dataclass(frozen=True)
class StoredBatch:
    """A micro-batch as a thread leaves it: bytes as they are stored, and where they belong."""

    stored: StoredRows
    row_of_token: Int[Tensor, "groups batch teacher_seq"]
    """The row that stands for each of the teacher's tokens; -1 where compression dropped it."""
    positions: Int[Tensor, "groups rows"]
    """Position of each row's token in its own text."""


class Store(TeacherKV):
    """Reads a store; refuses one whose fingerprints are not those of the request."""

    def __init__(self, request: TeacherRequest, *, stored: Stored) -> None:
        """Reads the index alone. Raises ArtifactError naming what differs.

        `stored` is not read: it is part of the plan, which names the store's folder by it.
        """
        assert request.store_folder is not None, "plan/graph.py gives a stored source its folder"
        self.folder = request.store_folder
        facts = StoreFacts.read(self.folder)
        facts.check_fingerprints(self.folder, request.fingerprints)
        self.heads = facts.heads
        self.groups = [(group, group.select_pairs(request)) for group in facts.groups]
        self.index = StoreIndex.read(self.folder)
        self.numbers = {text: number for number, text in enumerate(facts.texts)}
        self.reader = StoreReader(self.folder, self.index)
        self.reads = ReadAhead(self.read_batch, DEPTH, self.folder.name)
        self.time_reading = request.time_reading
        self.rotaries = self.load_rotaries(request, facts.rotary_refusal)

    def load_rotaries(self, request: TeacherRequest, refusal: str | None) -> dict[int, Rotary]:
        """The teacher's rotaries as they were when the store was built, where position turns keys.

        `refusal` is why they could not be stored: raised as ConfigError only where they are needed.
        """
        if not request.needs_rotary:
            return dict.fromkeys(request.teacher_layers, NO_ROTATION)
        frequencies, scalings = self.index.inv_freq, self.index.attention_scaling
        if refusal is not None or frequencies is None or scalings is None:
            raise ConfigError(refusal or f"{self.folder} holds no rotary embedding.")
        rotaries = [Rotary(f, float(s)) for f, s in zip(frequencies, scalings, strict=True)]
        return dict(zip(request.teacher_layers, rotaries, strict=True))

    def prefetch(self, tokens: Tokens, ids: Sequence[str]) -> None:
        """Lets threads read the batch; its tokens are on the CPU still."""
        self.reads.announce(make_key(tokens, ids), (tokens, ids))

    def close(self) -> None:
        """Ends the threads that read ahead."""
        self.reads.close()

    @torch.no_grad()
    def read_kv_cache(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """The rows of the texts. Raises ArtifactError as `find_texts` and the reader do."""
        with self.time_reading():
            read: StoredBatch = self.reads.take(make_key(tokens, ids), (tokens, ids))
            batch: StoredBatch = move_to_device(read, tokens.ids.device, non_blocking=True)
            flat_kv = batch.stored.dequantise()
        return [
            CompressedKV(
                layer_pairs=pairs,
                teacher_layers=group.layers,
                flat_kv=flat_kv if len(self.groups) == 1 else flat_kv[:, group.columns],
                row_of_token=batch.row_of_token[number],
                positions=batch.positions[number],
                heads=self.heads if group.head is None else 1,
                head=group.head,
            )
            for number, (group, pairs) in enumerate(self.groups)
        ]

    def read_batch(self, request: tuple[Tokens, Sequence[str]]) -> StoredBatch:
        """What a batch needs from disk, with the tables that say where it belongs."""
        tokens, ids = request
        stored = self.reader.read_texts(self.find_texts(tokens, ids))
        groups, (batch, seq) = len(self.groups), tokens.ids.shape
        row_of_token = allocate_host((groups, batch, seq), torch.long).fill_(-1)
        positions = allocate_host((groups, len(stored.rows)), torch.long)
        positions.copy_(stored.positions.T)
        group = torch.arange(groups)[:, None]
        row_of_token[group, stored.sample[None], positions] = torch.arange(len(stored.rows))
        return StoredBatch(stored, row_of_token, positions)

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
        wrong = hash_token_ids(tokens.ids, tokens.mask) != self.index.signature[numbers]
        if bool(wrong.any()):
            raise ArtifactError(
                f"text {ids[int(wrong.long().argmax())]} has other teacher tokens than when "
                f"{self.folder} was built. Delete {self.folder} and repeat the command."
            )
        return numbers


def make_key(tokens: Tokens, ids: Sequence[str]) -> tuple[object, ...]:
    """What tells a micro-batch from another, wherever its tokens are."""
    return (*ids, *tokens.ids.shape)
