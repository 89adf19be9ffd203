"""lm-eval's Hugging Face model, with what a comparison of arms needs and lm-eval leaves out.

Non-finite logits are refused (lm-eval scores a NaN model 1.0 where the first choice is the true
one), a generation that ran out of tokens is told from one that ended, and each row of a batch stops
on its own. Of what is read, only the positions that a continuation can stand at get logits: a
prompt's, of a vocabulary of 150,000, are gigabytes that nobody looks at.
"""

import inspect
from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal

import torch
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
)

from kvdistill.errors import UserError
from kvdistill.evaluate.backends.batch_sizes import BatchSizes
from kvdistill.evaluate.cached_lm import CachedLM, Progress
from kvdistill.evaluate.response_cache import ResponseCache
from kvdistill.models.generation.stopping import (
    CheckFiniteLogits,
    NonFiniteLogitsError,
    StopStrings,
    check_finite_logits,
    list_end_tokens,
)
from kvdistill.plan.resources.evaluation_memory import DEFAULT_BATCH


class CachedHFLM(CachedLM, HFLM):
    """A transformers model in memory, for all tasks of a suite."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *,
        batch_size: int | Literal["auto"], max_length: int | None, responses: ResponseCache,
        progress: Progress | None, divide: bool = False,
    ) -> None:  # fmt: skip
        fixed = DEFAULT_BATCH if batch_size == "auto" else batch_size
        super().__init__(
            pretrained=model, tokenizer=tokenizer, batch_size=fixed, max_length=max_length
        )
        self.attach_cache(responses, progress, divide=divide)
        self._batch = torch.empty(0)
        self._longest = 0
        # PEFT's wrapper names no parameters, and takes what its model takes.
        base = getattr(model, "get_base_model", lambda: model)()
        self._limits_logits = "logits_to_keep" in inspect.signature(base.forward).parameters
        # Asked once: afterwards the engine's own cache is part of what is taken.
        self._sizes = BatchSizes.of_model(model, fixed, automatic=batch_size == "auto")

    def _compute(self, kind: str) -> None:
        try:
            for size, requests in self._sizes.divide_requests(kind, self._pending, self._lengths):
                self._pending, self.batch_size_per_gpu = requests, size
                self.batches[kind] = sorted({*self.batches.get(kind, []), size})
                super()._compute(kind)
        except NonFiniteLogitsError as error:
            raise UserError(
                f"task {self._find_task(error.row)}: the model gives non-finite logits (NaN or "
                f"infinity), so nothing can be scored. Check its training and its dtype."
            ) from error

    def tok_batch_encode(
        self, strings: Sequence[str], padding_side: str = "left", **_: Any
    ) -> tuple[Tensor, Tensor]:
        """Ids and attention mask of a batch; a prompt that would be cut has been refused before."""
        rows = {"input_ids": self.tok_encode(strings)}
        padded = self.tokenizer.pad(rows, padding_side=padding_side, return_tensors="pt")
        return padded["input_ids"], padded["attention_mask"]

    def _loglikelihood_tokens(
        self, requests: list[tuple[Any, list[int], list[int]]], *args: Any, **named: Any
    ) -> list[tuple[float, bool]]:
        self._longest = max((len(continuation) for _, _, continuation in requests), default=0)
        return super()._loglikelihood_tokens(requests, *args, **named)

    @torch.no_grad()
    def _model_call(self, inps: Tensor, *_: Any, **__: Any) -> Tensor:
        self._batch = inps
        # lm-eval counts from the end of what comes back, so that rows may begin anywhere.
        kept = {"logits_to_keep": self._count_kept(inps)} if self._limits_logits else {}
        logits = self.model(inps, **kept).logits
        check_finite_logits(logits.flatten(1))
        return logits

    def _count_kept(self, inps: Tensor) -> int:
        """Last positions of a padded batch among which every row's continuation lies.

        lm-eval pads on the right with zeros; a row that ends in token 0 only makes it more.
        """
        texts = inps.ne(0).flip(1).cumsum(1).ne(0).sum(1)
        return min(inps.shape[1], int(inps.shape[1] - texts.min()) + max(self._longest, 1))

    @torch.no_grad()
    def _model_generate(
        self, context: Tensor, max_length: int, stop: list[str], **generation: Any
    ) -> Tensor:
        self._batch = context
        start = context.shape[1]
        stops = StopStrings(self.tokenizer, stop, start, len(context))
        # Greedy decoding ignores a temperature, and transformers warns of one that is set.
        generation.pop("temperature", None)
        out = self.model.generate(
            input_ids=context,
            max_length=max_length,
            stopping_criteria=StoppingCriteriaList([stops]),
            logits_processor=LogitsProcessorList([CheckFiniteLogits()]),
            pad_token_id=self.tokenizer.pad_token_id,
            use_cache=True,
            **generation,
        )
        ended = torch.isin(out[:, start:], list_end_tokens(self.model)).any(dim=1) | stops.done
        self.truncated.extend((~ended).tolist())
        return out

    def _find_task(self, row: int) -> str:
        """The task whose prompt a row of the last batch is; slow, and called for an error only."""
        # lm-eval pads prompts to generate from on the left, those with a continuation on the right:
        # the text ends the row in the first case and begins it in the second.
        ids = self._batch[row].tolist()
        for request in self._pending:
            prompt, rest = request.args
            if isinstance(rest, dict):
                text = self.tok_encode(prompt)
                matches = ids[-len(text) :] == text
            else:
                text = [*chain(*self._encode_pair(prompt, rest))][:-1]
                matches = ids[: len(text)] == text
            if matches:
                return request.task_name or "?"
        return " or ".join(sorted({request.task_name or "?" for request in self._pending}))
