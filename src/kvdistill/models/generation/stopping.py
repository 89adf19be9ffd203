"""Where each row of a batch that is written ends, and the refusal of logits that are no numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
)

from kvdistill.data.special_tokens import encode_texts


class NonFiniteLogitsError(ArithmeticError):
    """The model gave NaN or infinity; `row` is the batch's first bad one."""

    def __init__(self, row: int) -> None:
        super().__init__(f"non-finite logits in row {row}")
        self.row = row


@dataclass
class StopStrings(StoppingCriteria):
    """Ends each row at its own stop string; lm-eval's waits until all rows met the same."""

    tokenizer: PreTrainedTokenizerBase
    strings: Sequence[str]
    start: int
    rows: int

    def __post_init__(self) -> None:
        # The empty string is part of every text and would end a row at its first token.
        self.strings = [text for text in self.strings if text]
        # Two tokens more than a stop string takes, as it may be cut into others when generated.
        self.lookback = 2 + max(
            map(len, encode_texts(self.tokenizer, self.strings, markup=False)),
            default=0,
        )
        self.done = torch.zeros(self.rows, dtype=torch.bool)

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        tails = self.tokenizer.batch_decode(input_ids[:, self.start :][:, -self.lookback :])
        met = [any(text in tail for text in self.strings) for tail in tails]
        self.done = self.done.to(input_ids.device) | torch.tensor(met, device=input_ids.device)
        return self.done


class CheckFiniteLogits(LogitsProcessor):
    """A logits processor that changes nothing; NonFiniteLogitsError for NaN or infinity."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        check_finite_logits(scores)
        return scores


def check_finite_logits(rows: Tensor) -> None:
    """Raises NonFiniteLogitsError where a row of logits holds NaN or infinity."""
    # A sum is finite only if all is, and costs no mask the size of the logits.
    if not torch.isfinite(rows.sum(dtype=torch.float64)):
        bad = ~torch.isfinite(rows).all(dim=1)
        raise NonFiniteLogitsError(int(bad.nonzero()[0]))


def list_end_tokens(model: PreTrainedModel) -> Tensor:
    """The ids that end what the model writes, on its device; empty where it states none."""
    ids = model.generation_config.eos_token_id
    ids = ids if isinstance(ids, list) else [] if ids is None else [ids]
    return torch.tensor(ids, dtype=torch.long, device=model.device)
