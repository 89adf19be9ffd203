"""The teacher reads every batch as it comes, up to its deepest needed layer and no further."""

from collections.abc import Sequence

import torch

from kvdistill.kv.base import CompressedKV, TeacherKV, TeacherRequest, compress_layers
from kvdistill.models.attention.rotary import NO_ROTATION
from kvdistill.models.capture import Capture
from kvdistill.models.decoder import get_compute_device, truncate_decoder
from kvdistill.types import Layer, Tokens, move_to_device


class Online(TeacherKV):
    """A frozen decoder without head or unused upper layers."""

    def __init__(self, request: TeacherRequest) -> None:
        """Loads the body and takes it over: cuts, freezes and hooks it."""
        self.request, layers = request, request.teacher_layers
        self.body = truncate_decoder(request.load_body(), max(layers)).eval().requires_grad_(False)
        self.device = get_compute_device(self.body)
        needs_attention = request.compression.needs_attention
        self.capture = Capture(self.body, layers, with_attention=needs_attention)
        # A model whose rotary embedding cannot be reproduced is refused only if it must be.
        self.rotaries = (
            self.capture.read_rotaries()
            if needs_attention or request.needs_rotary
            else dict.fromkeys(layers, NO_ROTATION)
        )

    @torch.no_grad()
    def read_kv_cache(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """One forward of the body, then compression."""
        return compress_layers(
            self.capture_layers(tokens), self.request.layer_pairs, self.request.compression
        )

    @torch.no_grad()
    def capture_layers(self, tokens: Tokens) -> dict[int, Layer]:
        """Every mapped layer, uncompressed, on the device of `tokens`."""
        # The body may compute elsewhere than the student: tokens go there, layers come back.
        moved: Tokens = move_to_device(tokens, self.device)
        # No cache and no head: the hooks hold all that is needed.
        with self.request.time_reading(), self.capture:
            self.body(**moved.model_inputs, use_cache=False)
        layers: dict[int, Layer] = move_to_device(self.capture.pop_layers(moved), tokens.ids.device)
        return layers
