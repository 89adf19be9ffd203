"""lm-eval's Hugging Face model, with what a comparison of arms needs and lm-eval leaves out.

Non-finite logits are refused (lm-eval scores a NaN model 1.0 where the first choice is the true
one), a generation that ran out of tokens is told from one that ended, a prompt that would lose its
head is refused, each row of a batch stops on its own, and every answer can be kept on disk as it
comes, so that a killed evaluation continues at the item.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from kvdistill.errors import UserError
from kvdistill.evaluate.answers import Answer, Answers, request_key

Progress = Callable[[int, int], None]
"""Called with the answers had so far and those needed."""


class NonFiniteLogitsError(ArithmeticError):
    """The model gave NaN or infinity; `row` is the batch's first bad one."""

    def __init__(self, row: int) -> None:
        super().__init__(f"non-finite logits in row {row}")
        self.row = row


class Scorer(HFLM):
    """One model for all tasks of a suite."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *,
        batch_size: int, max_length: int | None, answers: Answers, progress: Progress | None,
    ) -> None:  # fmt: skip
        super().__init__(
            pretrained=model, tokenizer=tokenizer, batch_size=batch_size, max_length=max_length
        )
        self.answers = answers
        self.progress = progress
        self.set_cache_hook(_Recorder(self))
        self.truncated: deque[bool] = deque()
        self._asked: Sequence[Instance] = []
        self._batch = torch.empty(0)

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """Log-probability of each continuation, and whether it is the greedy one."""
        return [tuple(text) for text in self._answer("loglikelihood", requests)]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """What the model writes after each prompt, up to a stop string."""
        return self._answer("generate_until", requests)

    def was_truncated(self, request: Instance) -> bool:
        """Whether the generation ran out of tokens before any stop."""
        return self.answers[request_key(request.request_type, request.args)].truncated

    def _answer(self, kind: str, requests: Sequence[Instance]) -> list[Any]:
        keys = [request_key(kind, request.args) for request in requests]
        # The same prompt twice is answered once.
        fresh = {key: r for key, r in zip(keys, requests, strict=True) if key not in self.answers}
        self._asked = list(fresh.values())
        self._total, self._done = len(set(keys)), len(set(keys)) - len(fresh)
        self._report(0)
        if fresh:
            self._refuse_long_prompts(kind)
            ask = getattr(super(), kind)
            try:
                ask(self._asked, disable_tqdm=True)
            except NonFiniteLogitsError as error:
                raise UserError(
                    f"task {self._task_of(error.row)}: the model gives non-finite logits (NaN or "
                    f"infinity), so nothing can be scored. Check its training and its dtype."
                ) from error
        return [self.answers[key].response for key in keys]

    def _refuse_long_prompts(self, kind: str) -> None:
        """lm-eval would cut off the head of a long prompt and score what is left."""
        for request in self._asked:
            prompt, rest = request.args
            room = self.max_length
            if kind == "generate_until":
                room -= rest["max_gen_toks"]
                length = len(self.tok_encode(prompt))
            else:
                length = sum(map(len, self._encode_pair(prompt, rest))) - 1
            if length > room:
                raise UserError(
                    f"task {request.task_name}: a prompt of {length} tokens does not fit into "
                    f"tasks.max_length={self.max_length}, which leaves {max(room, 0)} for it. "
                    f"Raise tasks.max_length, lower tasks.max_gen_toks, or use fewer tasks.shots."
                )

    def _model_call(self, inps: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        self._batch = inps
        logits = super()._model_call(inps, *args, **kwargs)
        _refuse_non_finite(logits.flatten(1))
        return logits

    @torch.no_grad()
    def _model_generate(
        self, context: Tensor, max_length: int, stop: list[str], **generation: Any
    ) -> Tensor:
        self._batch = context
        start = context.shape[1]
        stops = _StopStrings(self.tokenizer, stop, start, len(context))
        generation.pop("temperature", None)
        out = self.model.generate(
            input_ids=context,
            max_length=max_length,
            stopping_criteria=StoppingCriteriaList([stops]),
            logits_processor=LogitsProcessorList([_FiniteLogits()]),
            pad_token_id=self.tokenizer.pad_token_id,
            use_cache=True,
            **generation,
        )
        ended = torch.isin(out[:, start:], _end_tokens(self.model)).any(dim=1) | stops.done
        self.truncated.extend((~ended).tolist())
        return out

    def _report(self, more: int) -> None:
        self._done += more
        if self.progress is not None:
            self.progress(self._done, self._total)

    def _task_of(self, row: int) -> str:
        """Whose prompt a row of the last batch is; only asked once something has gone wrong."""
        ids = self._batch[row].tolist()
        for request in self._asked:
            prompt, rest = request.args
            if isinstance(rest, dict):
                text = self.tok_encode(prompt)
                found = ids[-len(text) :] == text
            else:
                text = [*chain(*self._encode_pair(prompt, rest))][:-1]
                found = ids[: len(text)] == text
            if found:
                return request.task_name or "?"
        return " or ".join(sorted({request.task_name or "?" for request in self._asked}))


class _Recorder:
    """lm-eval's cache hook: told of every answer as it comes, in the order of the batch."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def add_partial(self, kind: str, request: Sequence[Any], response: Any) -> None:
        truncated = self.scorer.truncated.popleft() if kind == "generate_until" else False
        self.scorer.answers[request_key(kind, request)] = Answer(response, truncated)
        self.scorer._report(1)


@dataclass
class _StopStrings(StoppingCriteria):
    """Ends each row at its own stop string; lm-eval's waits until all rows met the same."""

    tokenizer: PreTrainedTokenizerBase
    strings: list[str]
    start: int
    rows: int

    def __post_init__(self) -> None:
        self.strings = [text for text in self.strings if text]
        # Two tokens more than a stop string takes, as it may be cut into others when generated.
        self.lookback = 2 + max(
            (len(self.tokenizer.encode(text, add_special_tokens=False)) for text in self.strings),
            default=0,
        )
        self.done = torch.zeros(self.rows, dtype=torch.bool)

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        tails = self.tokenizer.batch_decode(input_ids[:, self.start :][:, -self.lookback :])
        met = [any(text in tail for text in self.strings) for tail in tails]
        self.done = self.done.to(input_ids.device) | torch.tensor(met, device=input_ids.device)
        return self.done


class _FiniteLogits(LogitsProcessor):
    """A logits processor that changes nothing and refuses what is not finite."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        _refuse_non_finite(scores)
        return scores


def _refuse_non_finite(rows: Tensor) -> None:
    # A sum is finite only if all is, and costs no mask the size of the logits.
    if not torch.isfinite(rows.sum(dtype=torch.float64)):
        bad = ~torch.isfinite(rows).all(dim=1)
        raise NonFiniteLogitsError(int(bad.nonzero()[0]))


def _end_tokens(model: PreTrainedModel) -> Tensor:
    ids = model.generation_config.eos_token_id
    ids = ids if isinstance(ids, list) else [] if ids is None else [ids]
    return torch.tensor(ids, dtype=torch.long, device=model.device)
