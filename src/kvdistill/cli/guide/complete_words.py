"""What the shell completes after `stage=` and `sweep=`, which Hydra cannot know."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.plugins.completion_plugin import CompletionPlugin


def match_words(word: str, values: Mapping[str, Sequence[str]]) -> list[str] | None:
    """`stage=st` -> [`stage=status`]; None for a key that is not one of these.

    Of a list, as in `sweep=[a,b`, the last one is completed.
    """
    key, equals, begun = word.partition("=")
    if not equals or key not in values:
        return None
    head, separator, last = begun.rpartition(",")
    if not separator and begun.startswith("["):
        head, separator, last = "", "[", begun[1:]
    offered = [value for value in values[key] if value.startswith(last)]
    return [f"{key}={head}{separator}{value}" for value in offered]


@contextmanager
def offer_values(values: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """While this lasts, Hydra completes these keys' values too."""
    query = CompletionPlugin._query

    def query_with_values(self: CompletionPlugin, config_name: str | None, line: str) -> list[str]:
        words: Any = line.split(" ")
        matches = match_words(words[-1], values)
        return sorted(matches) if matches is not None else query(self, config_name, line)

    CompletionPlugin._query = query_with_values  # type: ignore[method-assign]
    try:
        yield
    finally:
        CompletionPlugin._query = query  # type: ignore[method-assign]
