"""A cached language model: what the engines share of caching, progress and prompt length.

lm-eval's loop hands its model all requests of one kind at a time. Here those whose response is in
the cache are left out, and each new response is stored as it comes, so that a killed evaluation
continues at the item. A prompt that lm-eval would cut is refused. Prompts are read as
texts are in training: the tokenizer's own special tokens stand before them, none behind, and none
come of their words.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM

from kvdistill import distributed
from kvdistill.data.chat_template import fix_clock, strip_begin
from kvdistill.data.special_tokens import check_no_control_tokens, encode_texts, find_begin_ids
from kvdistill.errors import UserError
from kvdistill.evaluate.response_cache import CachedResponse, ResponseCache, hash_request

Progress = Callable[[int, int], None]
"""Called with the number of responses there are, and of those needed."""


class CachedLM(TemplateLM):
    """Comes before one of lm-eval's model classes among the bases, whose methods do the work.

    A subclass calls `attach_cache` at the end of its `__init__`, and appends to `truncated` one
    flag for each text it generates, in the order of the batch.
    """

    reserved_tokens = 0
    """Tokens of the context window that the engine needs for itself."""
    _reads_markup = False
    _day: str | None = None

    def attach_cache(
        self, responses: ResponseCache, progress: Progress | None, *, divide: bool = False
    ) -> None:
        """Set the cache and the callback of progress, once lm-eval's own model is initialised.

        `divide`: each rank computes a share of the responses and takes the others'; then all ranks
        must ask the same requests in the same order.
        """
        self.responses = responses
        self.divides = divide and distributed.count_ranks() > 1
        self.batches: dict[str, list[int]] = {}
        self.progress = progress
        self.set_cache_hook(_CacheHook(self))
        self.truncated: deque[bool] = deque()
        self._pending: Sequence[Instance] = []
        self._lengths: dict[str, int] = {}

    def use_chat_template(self, day: str | None) -> None:
        """Read prompts as what a chat template writes; `day` is the date that it prints."""
        self._reads_markup = True
        self._day = day

    @cached_property
    def begin_ids(self) -> list[int]:
        """Ids before every prompt."""
        return find_begin_ids(self.tokenizer)

    def tok_encode(
        self, string: Any, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[Any]:
        """Ids of a text, or of each in a list, with what the tokenizer puts before it by itself.

        In the place of lm-eval's, whose rules of BOS follow the model's name and the text's words.
        """
        texts = [string] if isinstance(string, str) else list(string)
        rows = encode_texts(self.tokenizer, texts, markup=self._reads_markup)
        begin = self.begin_ids if add_special_tokens is not False else []
        rows = [[*begin, *row] for row in rows]
        return rows[0] if isinstance(string, str) else rows

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], *args: Any, **kwargs: Any
    ) -> str:
        """A conversation as text, less the BOS that reading it adds."""
        turns = [str(turn["content"]) for turn in chat_history]
        where = f"the prompt that begins {turns[0][:60]!r}"
        check_no_control_tokens(self.tokenizer, turns, "tasks.chat_template", where)
        with fix_clock(self._day, "tasks.date"):
            text = super().apply_chat_template(chat_history, *args, **kwargs)
        return strip_begin(self.tokenizer, text, "tasks.chat_template")

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
        return self.responses[hash_request(request.request_type, request.args)].truncated

    def cache_response(self, kind: str, request: Sequence[Any], response: Any) -> None:
        """Store one response; lm-eval's hook calls it for each, in the order of the batch."""
        # The hook is given a text alone; whether it was truncated was queued by the generation.
        truncated = self.truncated.popleft() if kind == "generate_until" else False
        self.responses[self._cache_key(kind, request)] = CachedResponse(response, truncated)
        self._report_progress(1)

    def _respond(self, kind: str, requests: Sequence[Instance]) -> list[Any]:
        keys = [hash_request(kind, request.args) for request in requests]
        if self.divides:
            self._take_known(keys)
        # The same prompt twice is answered once.
        fresh = {key: r for key, r in zip(keys, requests, strict=True) if key not in self.responses}
        self._total, self._done = len(set(keys)), len(set(keys)) - len(fresh)
        self._report_progress(0)
        if fresh:
            self._lengths = self._measure_requests(kind, fresh)
            if self.divides:
                self._compute_share(kind, fresh)
            else:
                self._pending = list(fresh.values())
                self._compute(kind)
        return [self.responses[key].response for key in keys]

    def _take_known(self, keys: Sequence[str]) -> None:
        """Every rank begins with what rank 0 has of these: a file may reach one before another."""
        known = {key: self.responses[key] for key in keys if key in self.responses}
        known = distributed.broadcast_from_zero(known)
        self.responses.replace(known, keys)

    def _compute_share(self, kind: str, fresh: Mapping[str, Instance]) -> None:
        """This rank's share of the requests, then the others'; each has long and short ones.

        Raises UserError on every rank where one does, since the others wait for its share.
        """
        by_length = sorted(fresh, key=lambda key: (-self._lengths[key], key))
        own = distributed.select_own_share(by_length)
        self._pending, failure = [fresh[key] for key in own], ""
        try:
            if own:
                self._compute(kind)
        except UserError as error:
            failure = str(error)
        answers = {key: self.responses[key] for key in own if key in self.responses}
        parts = distributed.gather_objects((failure, answers))
        for _, others in parts:
            self.responses.add(others)
        if failures := [line for line, _ in parts if line]:
            raise UserError(failures[0])

    def _cache_key(self, kind: str, request: Sequence[Any]) -> str:
        return hash_request(kind, request)

    def _compute(self, kind: str) -> None:
        """Have lm-eval's own method answer what is pending; the hook stores each response."""
        getattr(super(), kind)(self._pending, disable_tqdm=True)

    def _measure_requests(self, kind: str, requests: Mapping[str, Instance]) -> dict[str, int]:
        """Tokens of each request, with its key: the prompt, and the answer that may follow it.

        UserError for a prompt too long, whose head lm-eval would cut off without a word.
        """
        lengths = {}
        for key, request in requests.items():
            prompt, rest = request.args
            answer = 0
            if kind == "generate_until":
                # Of a task of lm-eval's own that leaves the length to its model class.
                answer = rest.get("max_gen_toks", self.max_gen_toks)
                length = len(self.tok_encode(prompt))
            else:
                # The last token of a continuation is predicted, never read.
                length = sum(map(len, self._encode_pair(prompt, rest))) - 1
            room = self.max_length - self.reserved_tokens - answer
            if length > room:
                raise UserError(
                    f"task {request.task_name}: a prompt of {length} tokens does not fit into "
                    f"tasks.max_length={self.max_length}, which leaves {max(room, 0)} for it. "
                    f"Raise tasks.max_length, lower tasks.max_gen_toks, or use fewer tasks.shots."
                )
            lengths[key] = length + answer
        return lengths

    def _report_progress(self, more: int) -> None:
        # A rank counts its own share; the others are as far, or nearly.
        each = distributed.count_ranks() if self.divides else 1
        self._done = min(self._done + more * each, self._total)
        if self.progress is not None:
            self.progress(self._done, self._total)


class _CacheHook:
    """lm-eval's cache hook: its `add_partial` is called with every response as it comes."""

    def __init__(self, lm: CachedLM) -> None:
        self.add_partial = lm.cache_response
