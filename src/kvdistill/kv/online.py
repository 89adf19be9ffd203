"""The teacher reads every batch as it comes, up to its deepest needed layer and no further."""

from collections.abc import Sequence

import torch
from torch import nn

from kvdistill.kv.base import TeacherKV
from kvdistill.kv.rotary import STILL, rotaries
from kvdistill.models.capture import Capture, cut
from kvdistill.types import Layer, Tokens


class Online(TeacherKV):
    """A frozen decoder without head or unused upper layers."""

    def __init__(
        self, body: nn.Module, layers: Sequence[int], *, attention: bool, rotary: bool
    ) -> None:
        """Takes the body over: cuts, freezes and hooks it.

        `attention`: compression scores rotated queries and keys. `rotary`: position turns keys.
        """
        self.body = cut(body, max(layers)).eval().requires_grad_(False)
        turns = rotaries(self.body, layers) if attention or rotary else dict.fromkeys(layers, STILL)
        self.rotaries = turns
        self.capture = Capture(self.body, layers, rotaries=turns if attention else None)

    @torch.no_grad()
    def read(self, tokens: Tokens, ids: Sequence[str]) -> dict[int, Layer]:
        """One forward of the body."""
        with self.capture:
            self.body(input_ids=tokens.ids, attention_mask=tokens.mask.long(), use_cache=False)
        return self.capture.take(tokens)
