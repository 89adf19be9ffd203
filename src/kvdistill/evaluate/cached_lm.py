"""What the engines share: answers are kept as they come, and no prompt may lose its head.

lm-eval's loop asks the model for one kind of answer at a time; here what is known already is not
asked again, so that a killed evaluation continues.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM

from kvdistill.errors import UserError
from kvdistill.evaluate.response_cache import CachedResponse, ResponseCache, hash_request

Progress = Callable[[int, int], None]
"""Called with the answers had so far and those needed."""


class CachedLM(TemplateLM):
    """Stands before one of lm-eval's models, whose own methods do the work."""

    reserved_tokens = 0
    """Tokens of the window that the engine wants for itself."""

    def attach_cache(self, answers: ResponseCache, progress: Progress | None) -> None:
        """What is known, and whom to tell; once the model is there."""
        self.answers = answers
        self.progress = progress
        self.set_cache_hook(_CacheHook(self))
        self.truncated: deque[bool] = deque()
        self._pending: Sequence[Instance] = []

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """Log-probability of each continuation, and whether it is the greedy one."""
        return [tuple(text) for text in self._respond("loglikelihood", requests)]

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """What the model writes after each prompt, up to a stop string."""
        return self._respond("generate_until", requests)

    def was_truncated(self, request: Instance) -> bool:
        """Whether the generation ran out of tokens before any stop."""
        return self.answers[hash_request(request.request_type, request.args)].truncated

    def cache_response(self, kind: str, request: Sequence[Any], response: Any) -> None:
        """Takes an answer as it comes, in the order of the batch."""
        truncated = self.truncated.popleft() if kind == "generate_until" else False
        self.answers[self._cache_key(kind, request)] = CachedResponse(response, truncated)
        self._report_progress(1)

    def _respond(self, kind: str, requests: Sequence[Instance]) -> list[Any]:
        keys = [hash_request(kind, request.args) for request in requests]
        # The same prompt twice is answered once.
        fresh = {key: r for key, r in zip(keys, requests, strict=True) if key not in self.answers}
        self._pending = list(fresh.values())
        self._total, self._done = len(set(keys)), len(set(keys)) - len(fresh)
        self._report_progress(0)
        if fresh:
            self._refuse_long_prompts(kind)
            self._compute(kind)
        return [self.answers[key].response for key in keys]

    def _cache_key(self, kind: str, request: Sequence[Any]) -> str:
        return hash_request(kind, request)

    def _compute(self, kind: str) -> None:
        """Has what is asked answered, each answer told to `keep`."""
        getattr(super(), kind)(self._pending, disable_tqdm=True)

    def _refuse_long_prompts(self, kind: str) -> None:
        """lm-eval would cut off the head of a long prompt and score what is left."""
        for request in self._pending:
            prompt, rest = request.args
            room = self.max_length - self.reserved_tokens
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

    def _report_progress(self, more: int) -> None:
        self._done += more
        if self.progress is not None:
            self.progress(self._done, self._total)


class _CacheHook:
    """lm-eval's cache hook: told of every answer as it comes."""

    def __init__(self, lm: CachedLM) -> None:
        self.add_partial = lm.cache_response
