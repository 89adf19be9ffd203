"""Training ends at a step boundary when any rank was told to make room: all ranks save together."""

from typing import Any

import torch
from transformers import TrainerCallback

from kvdistill import distributed, preemption


class PreemptionCallback(TrainerCallback):
    """Saves and stops after the step in which a rank was asked to."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Every rank must come here at the same step."""
        if distributed.all_reduce_sum(torch.tensor(float(preemption.is_requested()))) > 0:
            preemption.mark_requested()
            control.should_save = control.should_training_stop = True
