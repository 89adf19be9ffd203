"""The teacher reads every batch as it comes, up to its deepest needed layer and no further."""

from collections.abc import Sequence

import torch

from kvdistill.kv.base import Kept, TeacherKV, Wanted, masked
from kvdistill.kv.rotary import STILL, rotaries
from kvdistill.models.capture import Capture, truncate_decoder
from kvdistill.models.load import get_compute_device
from kvdistill.types import Layer, Tokens, moved


class Online(TeacherKV):
    """A frozen decoder without head or unused upper layers."""

    def __init__(self, wanted: Wanted) -> None:
        """Loads the body and takes it over: cuts, freezes and hooks it."""
        self.wanted, layers = wanted, wanted.layers
        self.body = truncate_decoder(wanted.body(), max(layers)).eval().requires_grad_(False)
        self.device = get_compute_device(self.body)
        attention = wanted.press.needs_attention
        turning = attention or wanted.rotary
        self.rotaries = rotaries(self.body, layers) if turning else dict.fromkeys(layers, STILL)
        self.capture = Capture(self.body, layers, rotaries=self.rotaries if attention else None)

    @torch.no_grad()
    def read(self, tokens: Tokens, ids: Sequence[str]) -> list[Kept]:
        """One forward of the body, then compression."""
        return masked(self.layers(tokens), self.wanted.sources, self.wanted.press)

    @torch.no_grad()
    def layers(self, tokens: Tokens) -> dict[int, Layer]:
        """Each needed layer whole, before compression; on the device of `tokens`."""
        here: Tokens = moved(tokens, self.device)
        with self.capture:
            self.body(input_ids=here.ids, attention_mask=here.mask.long(), use_cache=False)
        found: dict[int, Layer] = moved(self.capture.pop_layers(here), tokens.ids.device)
        return found
