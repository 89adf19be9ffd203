"""LoRA: low-rank updates of the projections are trained, the student's own weights are not.

Hu et al. 2021, arXiv 2106.09685, by PEFT. The updates are merged before export, so that the student
keeps its parameter count and its speed.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from kvdistill.errors import ConfigError
from kvdistill.models.adapter import Adapter

PROJECTIONS = (nn.Linear, Conv1D)


@dataclass(frozen=True, kw_only=True)
class Lora(Adapter):
    """Rank, scale and target modules of the updates."""

    rank: int
    alpha: float | int
    """The update is scaled by alpha / rank."""
    dropout: float | int
    targets: Sequence[str]
    """Names of the projections, as the student's family calls them; those that make its K and V
    among them, or no KV loss could teach."""

    frozen = True

    def __post_init__(self) -> None:
        if find_spec("peft") is None:
            raise ConfigError(
                "adapter=lora needs the package peft: pip install -c constraints.txt -e '.[lora]'. "
                "Or train every weight, with adapter=none and a lower rate."
            )
        if self.rank < 1 or not self.alpha > 0:
            raise ConfigError(
                f"adapter.rank={self.rank} and adapter.alpha={self.alpha} must be above 0."
            )
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"adapter.dropout must be in [0, 1), got {self.dropout}.")

    def wrap(self, student: PreTrainedModel) -> nn.Module:
        """Raises ConfigError for a target that the student does not have: PEFT would skip it."""
        from peft import LoraConfig, get_peft_model  # an optional package

        targeted = self._find_targets(student)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            target_modules=list(self.targets),
            # GPT-2 holds its weights the other way round.
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in targeted),
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            # PEFT 0.21 asks transformers for an attribute by its old name, a line a model.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            return get_peft_model(student, config)

    def _find_targets(self, student: PreTrainedModel) -> list[nn.Module]:
        names = {name: module for name, module in student.named_modules() if name}
        targeted = []
        for target in self.targets:
            modules = [m for name, m in names.items() if f".{name}".endswith(f".{target}")]
            if not modules:
                projections = sorted(
                    {n.rpartition(".")[2] for n, m in names.items() if isinstance(m, PROJECTIONS)}
                )
                raise ConfigError(
                    f"adapter.targets names {target}, which {type(student).__name__} does not "
                    f"have. Choose of {', '.join(projections)}."
                )
            targeted += modules
        return targeted

    def merge(self, trained: nn.Module) -> PreTrainedModel:
        peft_model: Any = trained
        student: PreTrainedModel = peft_model.merge_and_unload(safe_merge=True)
        # PEFT froze the student's own weights, and merging leaves them so.
        return student.requires_grad_(True)
