"""What a teacher made of texts, from disk: stored once, read by every arm, seed and fusion.

The teacher itself is not loaded. Of K and V only what compression left of the mapped layers is
stored, one row a token over all of them, a text's rows one behind another: a batch is a few long
reads. Of its answers the last hidden states are stored, apart from K and V, and its own head, which
is all that is loaded of it, makes logits of them.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch

from kvdistill.errors import ConfigError
from kvdistill.kv.base import (
    AnswerStates,
    CompressedKV,
    TeacherKV,
    TeacherReading,
    TeacherRequest,
)
from kvdistill.kv.shards import Stored
from kvdistill.kv.stored_texts import StoredTexts
from kvdistill.models.attention.rotary import NO_ROTATION, Rotary
from kvdistill.types import Tokens


class Store(TeacherKV):
    """Reads stores; refuses one whose fingerprints are not those of the request."""

    gives_answers: ClassVar[bool] = True

    def __init__(self, request: TeacherRequest, *, stored: Stored) -> None:
        """Reads the indices, and loads the head where there are states for it.

        `stored` is not read: it is part of the plan, which names the stores' folders by it. Raises
        ArtifactError naming what differs.
        """
        self.cache = self.states = None
        self.rotaries = {}
        self.time_reading = request.time_reading
        self.head = None if request.load_head is None else request.load_head()
        if request.layer_pairs:
            assert request.store_folder is not None, (
                "plan/graph.py gives a stored source its folder"
            )
            self.cache = StoredTexts(request.store_folder, request.fingerprints)
            facts = self.cache.facts
            self.groups = [(group, group.select_pairs(request)) for group in facts.groups]
            self.rotaries = load_rotaries(self.cache, request)
        if self.head is not None:
            assert request.answers_folder is not None, "plan/graph.py gives it one as well"
            self.states = StoredTexts(request.answers_folder, request.answers_fingerprints)

    def prefetch(self, tokens: Tokens, ids: Sequence[str]) -> None:
        """Lets threads read the batch; its tokens are on the CPU still."""
        for texts in filter(None, (self.cache, self.states)):
            texts.prefetch(tokens, ids)

    def close(self) -> None:
        """Ends the threads that read ahead."""
        for texts in filter(None, (self.cache, self.states)):
            texts.close()

    @torch.no_grad()
    def read_kv_cache(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """The rows of the texts. Raises ArtifactError as `StoredTexts` does."""
        if self.cache is None:
            return []
        with self.time_reading():
            batch = self.cache.take_batch(tokens, ids)
            flat_kv = batch.stored.dequantise()
        heads = self.cache.facts.heads
        return [
            CompressedKV(
                layer_pairs=pairs,
                teacher_layers=group.layers,
                flat_kv=flat_kv if len(self.groups) == 1 else flat_kv[:, group.columns],
                row_of_token=batch.row_of_token[number],
                positions=batch.positions[number],
                heads=heads if group.head is None else 1,
                head=group.head,
            )
            for number, (group, pairs) in enumerate(self.groups)
        ]

    @torch.no_grad()
    def read_texts(self, tokens: Tokens, ids: Sequence[str]) -> TeacherReading:
        """The rows of the texts and, where they are asked for, the states of their answers."""
        compressed, answers = self.read_kv_cache(tokens, ids), None
        if self.states is not None and self.head is not None:
            with self.time_reading():
                batch = self.states.take_batch(tokens, ids)
                # On disk a batch's texts lie by length; the states go by text and token.
                rows = batch.row_of_token[0].flatten()[tokens.label_places - 1]
                answers = AnswerStates(batch.stored.dequantise()[rows], self.head)
        return TeacherReading(compressed, self.rotaries, answers)


def load_rotaries(cache: StoredTexts, request: TeacherRequest) -> dict[int, Rotary]:
    """The teacher's rotaries as they were when the store was built, where position turns keys.

    Raises ConfigError where they could not be stored, only if they are needed.
    """
    if not request.needs_rotary:
        return dict.fromkeys(request.teacher_layers, NO_ROTATION)
    index, refusal = cache.index, cache.facts.rotary_refusal
    frequencies, scalings = index.inv_freq, index.attention_scaling
    if refusal is not None or frequencies is None or scalings is None:
        raise ConfigError(refusal or f"{cache.folder} holds no rotary embedding.")
    rotaries = [Rotary(f, float(s)) for f, s in zip(frequencies, scalings, strict=True)]
    return dict(zip(request.teacher_layers, rotaries, strict=True))
