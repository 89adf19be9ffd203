"""A factor on kv_weight while training runs, so that it need not be tuned for every pair."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Balance(nn.Module, ABC):
    """Called once a micro-batch in training, before backward.

    What it remembers between steps is in buffers, so that a checkpoint holds it.
    """

    factor: Float[Tensor, ""]
    """The last one; 1 before the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factor", torch.ones(()))

    @abstractmethod
    def forward(
        self,
        ce: Float[Tensor, ""],
        kv: Float[Tensor, ""],
        shared: Sequence[nn.Parameter],
        step: int,
    ) -> Float[Tensor, ""]:
        """The factor, without gradient.

        `ce` and `kv` are the unweighted terms, their graphs alive; `shared` are the weights that
        both have gradients in; `step` counts optimiser steps.
        """
