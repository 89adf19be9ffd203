"""The teacher reads every batch as it comes, as far as it is asked: to a layer, or to its end."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import ClassVar

import torch

from kvdistill.kv.base import (
    AnswerStates,
    CompressedKV,
    TeacherKV,
    TeacherReading,
    TeacherRequest,
    compress_layers,
)
from kvdistill.models.attention.rotary import NO_ROTATION
from kvdistill.models.capture import Capture
from kvdistill.models.decoder import get_compute_device, truncate_decoder
from kvdistill.models.head import find_places
from kvdistill.types import Layer, Tokens, move_to_device


class Online(TeacherKV):
    """A frozen decoder: without unused upper layers, unless the states of answers are asked for."""

    gives_answers: ClassVar[bool] = True

    def __init__(self, request: TeacherRequest) -> None:
        """Loads the body and takes it over: cuts, freezes and hooks it."""
        self.request, layers = request, request.teacher_layers
        body = request.load_body()
        self.head = None if request.load_head is None else request.load_head()
        if self.head is None:
            body = truncate_decoder(body, max(layers))
        self.body = body.eval().requires_grad_(False)
        self.device = get_compute_device(self.body)
        needs_attention = request.compression.needs_attention
        # A model that cannot be captured, or whose rotary embedding cannot be reproduced, is
        # refused only if it must be.
        self.capture = (
            Capture(self.body, layers, with_attention=needs_attention) if layers else None
        )
        self.rotaries = dict.fromkeys(layers, NO_ROTATION)
        if self.capture is not None and (needs_attention or request.needs_rotary):
            self.rotaries = self.capture.read_rotaries()

    def read_kv_cache(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """One forward of the body, then compression."""
        return list(self.read_texts(tokens, ids).compressed)

    @torch.no_grad()
    def read_texts(self, tokens: Tokens, ids: Sequence[str]) -> TeacherReading:
        """One forward of the body for both."""
        layers, answers = self.run_body(tokens)
        compressed = (
            compress_layers(layers, self.request.layer_pairs, self.request.compression)
            if layers
            else []
        )
        return TeacherReading(compressed, self.rotaries, answers)

    @torch.no_grad()
    def capture_layers(self, tokens: Tokens) -> dict[int, Layer]:
        """Every mapped layer, uncompressed, on the device of `tokens`."""
        return self.run_body(tokens)[0]

    def run_body(self, tokens: Tokens) -> tuple[dict[int, Layer], AnswerStates | None]:
        """(the mapped layers, the states of answers or None), on the device of `tokens`."""
        # The body may compute elsewhere than the student: tokens go there, layers come back.
        moved: Tokens = move_to_device(tokens, self.device)
        # No cache and no head: the hooks hold all that is needed of K and V.
        with self.request.time_reading(), self.capture or nullcontext():
            outputs = self.body(**moved.model_inputs, use_cache=False)
        device = tokens.ids.device
        captured = {} if self.capture is None else self.capture.pop_layers(moved)
        layers: dict[int, Layer] = move_to_device(captured, device)
        if self.head is None:
            return layers, None
        states = outputs.last_hidden_state.flatten(0, 1)
        hidden = states[find_places(moved, moved.logit_mask)]
        return layers, AnswerStates(hidden.to(device), self.head)
