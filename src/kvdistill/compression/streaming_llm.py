"""StreamingLLM: the first tokens, on which attention sinks, and the last (arXiv 2309.17453).

Positions stay the text's own; the paper's cache counts them anew, since there a model goes on
decoding from it.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from kvdistill.compression.base import Compression
from kvdistill.errors import ConfigError
from kvdistill.types import Layer


@dataclass(frozen=True, kw_only=True)
class StreamingLLM(Compression):
    """Keeps `sinks` tokens of the beginning and, of what the budget leaves, the end."""

    layer_independent: ClassVar[bool] = True

    sinks: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sinks < 0:
            raise ConfigError(f"compression.sinks is {self.sinks} but must be 0 tokens or more.")

    def score(self, layer: Layer) -> Float[Tensor, "batch seq"]:
        """The position; sinks lie above every other token, the first highest."""
        mask = layer.tokens.mask
        seq = mask.shape[1]
        index = torch.arange(seq, device=mask.device)
        return torch.where(index < self.sinks, 2 * seq - index, index).expand(mask.shape).float()
