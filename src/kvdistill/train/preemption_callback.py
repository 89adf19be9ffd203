"""Training ends at a step boundary when any rank was told to make room: all ranks save together."""

from typing import Any

import torch
from transformers import TrainerCallback

from kvdistill import distributed, preemption


class Interruption(TrainerCallback):
    """Saves and stops after the step in which a rank was asked to."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Every rank must come here at the same step."""
        if distributed.total(torch.tensor(float(preemption.asked()))) > 0:
            preemption.agree()
            control.should_save = control.should_training_stop = True
