"""Ends training at a step boundary when any rank was preempted, so that all ranks save together."""

from typing import Any

import torch
from transformers import TrainerCallback

from kvdistill import distributed, preemption


class PreemptionCallback(TrainerCallback):
    """Saves and stops after the step in which any rank was asked to make room."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Every rank must call this at the same step."""
        # SLURM may signal one rank a step before another, and a checkpoint needs all of them.
        if distributed.all_reduce_sum(torch.tensor(float(preemption.is_requested()))) > 0:
            preemption.accept_request()
            control.should_save = control.should_training_stop = True
