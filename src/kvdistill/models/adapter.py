"""Which of the student's weights are trained: the interface of the adapters."""

from abc import ABC, abstractmethod

from torch import nn
from transformers import PreTrainedModel


class Adapter(ABC):
    """Wraps a student for training, and gives it back as a model of the same parameters."""

    frozen: bool
    """Whether the student's own weights stay as they are while it trains."""

    @abstractmethod
    def wrap(self, student: PreTrainedModel) -> nn.Module:
        """The module to train, which holds `student`; called once.

        Before `Capture` sets its hooks: an adapter replaces the projections that carry them.
        """

    @abstractmethod
    def merge(self, trained: nn.Module) -> PreTrainedModel:
        """The trained student with as many parameters as before; `trained` is used up."""
