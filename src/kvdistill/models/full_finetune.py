"""Every weight of the student is trained: no adapter."""

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from kvdistill.models.adapter import Adapter


@dataclass(frozen=True, kw_only=True)
class Whole(Adapter):
    """Full fine-tuning: wraps nothing and merges nothing."""

    frozen = False

    def wrap(self, student: PreTrainedModel) -> nn.Module:
        return student

    def merge(self, trained: nn.Module) -> PreTrainedModel:
        assert isinstance(trained, PreTrainedModel)
        return trained
