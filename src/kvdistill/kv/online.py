"""The teacher reads every batch as it comes, up to its deepest needed layer and no further."""

from collections.abc import Sequence

import torch

from kvdistill.kv.base import CompressedKV, TeacherKV, TeacherRequest, compress_layers
from kvdistill.kv.rotary import NO_ROTATION, read_rotaries
from kvdistill.models.capture import Capture, truncate_decoder
from kvdistill.models.load import get_compute_device
from kvdistill.types import Layer, Tokens, move_to_device


class Online(TeacherKV):
    """A frozen decoder without head or unused upper layers."""

    def __init__(self, request: TeacherRequest) -> None:
        """Loads the body and takes it over: cuts, freezes and hooks it."""
        self.wanted, layers = request, request.teacher_layers
        self.body = truncate_decoder(request.load_body(), max(layers)).eval().requires_grad_(False)
        self.device = get_compute_device(self.body)
        attention = request.compression.needs_attention
        turning = attention or request.needs_rotary
        self.rotaries = (
            read_rotaries(self.body, layers) if turning else dict.fromkeys(layers, NO_ROTATION)
        )
        self.capture = Capture(self.body, layers, rotaries=self.rotaries if attention else None)

    @torch.no_grad()
    def read_kv(self, tokens: Tokens, ids: Sequence[str]) -> list[CompressedKV]:
        """One forward of the body, then compression."""
        return compress_layers(
            self.capture_layers(tokens), self.wanted.layer_pairs, self.wanted.compression
        )

    @torch.no_grad()
    def capture_layers(self, tokens: Tokens) -> dict[int, Layer]:
        """Each needed layer whole, before compression; on the device of `tokens`."""
        here: Tokens = move_to_device(tokens, self.device)
        with self.capture:
            self.body(input_ids=here.ids, attention_mask=here.mask.long(), use_cache=False)
        found: dict[int, Layer] = move_to_device(self.capture.pop_layers(here), tokens.ids.device)
        return found
