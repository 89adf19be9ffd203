"""Training ends at a step boundary when any rank was told to make room: all ranks save together."""

from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback

from kvdistill import interrupt


class Interruption(TrainerCallback):
    """Saves and stops after the step in which a rank was asked to."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Every rank must come here at the same step."""
        if anywhere(interrupt.asked(), args.device):
            interrupt.agree()
            control.should_save = control.should_training_stop = True


def anywhere(asked: bool, device: torch.device) -> bool:
    """Whether it is so on any rank."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return asked
    flag = torch.tensor(float(asked), device=device)
    distributed.all_reduce(flag, distributed.ReduceOp.MAX)
    return bool(flag)
