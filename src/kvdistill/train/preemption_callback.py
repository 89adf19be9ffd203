"""Ends training where any rank was asked to make room, so that all ranks save together."""

from typing import Any

import torch
from transformers import TrainerCallback

from kvdistill import distributed, preemption
from kvdistill.preemption import Preempted


def is_any_rank_preempted() -> bool:
    """Whether any rank was asked to make room; every rank must call this at the same point."""
    # SLURM may signal one rank before another, and a checkpoint needs all of them.
    asked = distributed.all_reduce_sum(torch.tensor(float(preemption.is_requested()))) > 0
    if asked:
        preemption.accept_request()
    return bool(asked)


def end_if_preempted() -> None:
    """Raises Preempted on every rank where any was asked; every rank must call this."""
    if is_any_rank_preempted():
        raise Preempted


class PreemptionCallback(TrainerCallback):
    """Saves and stops after the step in which any rank was asked to make room."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Every rank must call this at the same step."""
        if is_any_rank_preempted():
            control.should_save = control.should_training_stop = True
