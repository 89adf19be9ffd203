"""The unified budget: one number of optimiser steps for every trained arm."""

from kvdistill.config.schema import Budget
from kvdistill.errors import ConfigError


def global_batch(budget: Budget) -> int:
    """Texts an optimiser step, over all GPUs and accumulated micro-batches."""
    return budget.batch_size * budget.num_gpus * budget.grad_accum


def unified_steps(budget: Budget) -> int:
    """total_tokens / (batch_size x seq_len x num_gpus x grad_accum), rounded down.

    Raises ConfigError for a budget of zero steps.
    """
    tokens = global_batch(budget) * budget.seq_len
    steps = budget.total_tokens // tokens
    if steps == 0:
        raise ConfigError(
            f"budget.total_tokens={budget.total_tokens} is less than one step of {tokens} tokens "
            f"(batch_size x seq_len x num_gpus x grad_accum). Raise it or shrink the batch."
        )
    return steps
