"""The response cache: what one model answered to each request, in memory or also on disk.

lm-eval's own cache is keyed by the request alone, so that a second model is served the first one's
answers. Here a file belongs to one model: its name is a hash of weights, dtype, tokenizer, chat
template, batch size and length, and a line is keyed by the request, which holds the prompt (so the
task file and the data) and the generation settings. Extractors are applied afterwards and are not
part of the key. A line begins with a hash of the rest: what was cut short or altered is computed
again. All runs below one root share the files, so that the raw student's answers serve every suite
and study.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill.plan.identity import TOKENS_VERSION


@dataclass(frozen=True)
class CachedResponse:
    """A response as lm-eval has it: a text, or a log-probability and whether it is greedy."""

    response: Any
    truncated: bool = False
    """A text that ran out of tokens."""


class ResponseCache:
    """Responses by the key of their request; with a path, each is appended to that file.

    A line of the file is a hash, a space, and JSON: [key, response, truncated].
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.responses: dict[str, CachedResponse] = {}
        if path is not None:
            # Ranks append to files of their own, and all of them are of this model.
            for each in sorted(path.parent.glob(f"*{path.suffix}")):
                self.responses |= _read_responses(each)

    def __contains__(self, key: str) -> bool:
        return key in self.responses

    def __getitem__(self, key: str) -> CachedResponse:
        return self.responses[key]

    def __setitem__(self, key: str, answer: CachedResponse) -> None:
        self.responses[key] = answer
        if self.path is not None:
            line = [key, answer.response, answer.truncated]
            payload = json.dumps(line, ensure_ascii=False).encode()
            _append_line(self.path, f"{_hash_line(payload)} ".encode() + payload + b"\n")

    def add(self, responses: Mapping[str, CachedResponse]) -> None:
        """Take what another process computed, and keeps in a file of its own."""
        self.responses |= responses

    def replace(self, known: Mapping[str, CachedResponse], keys: Iterable[str]) -> None:
        """Of these keys have exactly what is known."""
        for key in keys:
            self.responses.pop(key, None)
        self.add(known)


def _hash_line(payload: bytes) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a line's JSON."""
    return hashlib.sha256(payload).hexdigest()[:16]


def _append_line(path: Path, line: bytes) -> None:
    """Append a line in one unbuffered write, so that two runs can share the file of a model."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(line)


def _read_responses(path: Path) -> dict[str, CachedResponse]:
    responses = {}
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        # A process was killed in the middle of a line; the next one must not be glued to it.
        _append_line(path, b"\n")
    for line in data.split(b"\n"):
        check, _, payload = line.partition(b" ")
        if check.decode(errors="replace") == _hash_line(payload):
            key, response, truncated = json.loads(payload)
            responses[key] = CachedResponse(response, truncated)
    return responses


def hash_request(kind: str, arguments: Sequence[Any]) -> str:
    """Sha256 of a request: its kind, prompt, and continuation or generation settings."""
    text = json.dumps([kind, *arguments], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: dict[str, Any]
) -> str:
    """SHA-256 of everything but the request that decides a response.

    That is weights, their dtype, config, tokenizer, chat template and the engine's `settings`.
    """
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        # As bytes, since numpy has no bfloat16.
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        state.update(memoryview(raw.numpy()))
    config = {k: v for k, v in model.config.to_dict().items() if k not in _NOT_SCIENCE}
    facts = {
        "config": config,
        "tokenizer": tokenizer.backend_tokenizer.to_str(),
        "special": sorted(map(str, tokenizer.special_tokens_map.items())),
        "chat_template": tokenizer.chat_template,
        "reads": TOKENS_VERSION,
        "settings": settings,
    }
    state.update(json.dumps(facts, sort_keys=True, default=str).encode())
    return state.hexdigest()


_NOT_SCIENCE = ("_name_or_path", "transformers_version", "use_cache")
