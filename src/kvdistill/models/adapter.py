"""Which of the student's weights are trained."""

from abc import ABC, abstractmethod

from torch import nn
from transformers import PreTrainedModel


class Adapter(ABC):
    """Wraps a student for training, and gives it back as a model of the same parameters."""

    frozen: bool
    """Whether the student's own weights stay as they are while it trains."""

    @abstractmethod
    def wrap(self, student: PreTrainedModel) -> nn.Module:
        """What is trained: called once, before K and V are hooked."""

    @abstractmethod
    def merge(self, trained: nn.Module) -> PreTrainedModel:
        """The trained student alone, with as many parameters as before; takes `trained` over."""
