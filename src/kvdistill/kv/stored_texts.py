"""The texts of one store as micro-batches ask for them, read ahead in threads.

Stored bytes move to the device as they are, and are decoded there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from kvdistill.errors import ArtifactError
from kvdistill.kv.read_ahead import ReadAhead
from kvdistill.kv.store_index import StoreFacts, StoreIndex, hash_token_ids
from kvdistill.kv.store_reader import StoredRows, StoreReader, allocate_host
from kvdistill.types import Tokens, move_to_device

DEPTH = 2
"""Micro-batches that lie ready or are being read beside the one that is computed."""


@dataclass(frozen=True)
class StoredBatch:
    """A micro-batch as a thread leaves it: bytes as they are stored, and where they belong."""

    stored: StoredRows
    row_of_token: Int[Tensor, "groups batch teacher_seq"]
    """The row that stands for each of the teacher's tokens; -1 where none does."""
    positions: Int[Tensor, "groups rows"]
    """Position of each row's token in its own text."""


class StoredTexts:
    """Reads a store; refuses one whose fingerprints are not those that are asked for."""

    def __init__(self, folder: Path, fingerprints: Mapping[str, str]) -> None:
        """Reads the index alone. Raises ArtifactError naming what differs."""
        self.folder = folder
        self.facts = StoreFacts.read(folder)
        self.facts.check_fingerprints(folder, fingerprints)
        self.index = StoreIndex.read(folder)
        self.numbers = {text: number for number, text in enumerate(self.facts.texts)}
        self.reader = StoreReader(folder, self.index)
        self.reads = ReadAhead(self.read_batch, DEPTH, folder.name)

    def prefetch(self, tokens: Tokens, ids: Sequence[str]) -> None:
        """Lets threads read the batch; its tokens are on the CPU still."""
        self.reads.announce(make_key(tokens, ids), (tokens, ids))

    def close(self) -> None:
        """Ends the threads that read ahead."""
        self.reads.close()

    def take_batch(self, tokens: Tokens, ids: Sequence[str]) -> StoredBatch:
        """A batch on the device of its tokens; raises as `find_texts` and the reader do."""
        read: StoredBatch = self.reads.take(make_key(tokens, ids), (tokens, ids))
        batch: StoredBatch = move_to_device(read, tokens.ids.device, non_blocking=True)
        return batch

    def read_batch(self, request: tuple[Tokens, Sequence[str]]) -> StoredBatch:
        """What a batch needs from disk, with the tables that say where it belongs."""
        tokens, ids = request
        stored = self.reader.read_texts(self.find_texts(tokens, ids))
        groups, (batch, seq) = len(self.facts.groups), tokens.ids.shape
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
