"""From what a model wrote to the answer it gives: pure functions of the text.

A missing answer is None, never a guess; lm-eval's own regexes and where they fail (a final period
that is demanded, bold letters, the last number of anything) are what the golden tests cover.
"""

import re
from collections.abc import Callable, Sequence

INVALID = "[invalid]"
"""What lm-eval calls an output without an answer."""

Extractor = Callable[[str], str | None]

_NUMBER = re.compile(r"(?<![\w.])-?\s?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)?|(?<![\w.])-?\$?\.\d+")
_STATED = re.compile(
    # "answer is", "Answer:", and the same in Chinese, whose colon may be full width.
    "(?:answer\\s{0,2}(?:is\\b|:|=)|\u7b54\u6848\\s?(?:\u662f|\u4e3a|:|\uff1a))\\s*:?\\s*([^\n]+)",
    re.IGNORECASE,
)


def marked(text: str) -> str | None:
    """What follows the first `####`, to the end of its line: the study's own form of an answer."""
    _, mark, after = text.partition("####")
    return _tidy(after.lstrip(" \t").split("\n", 1)[0]) if mark else None


def boxed(text: str) -> str | None:
    r"""Content of the last `\boxed{...}`, braces balanced; `\boxed 5` too."""
    for start in reversed([found.end() for found in re.finditer(r"\\(?:boxed|fbox)\s*", text)]):
        if text[start : start + 1] != "{":
            bare = re.match(r"[^\s$]+", text[start:])
            return _tidy(bare.group()) if bare else None
        depth = 0
        for end in range(start, len(text)):
            depth += (text[end] == "{") - (text[end] == "}")
            if depth == 0:
                return _tidy(text[start + 1 : end])
    return None


def stated(text: str) -> str | None:
    """What follows the last "answer is" or "answer:" on its line, up to the end of the sentence."""
    found = _STATED.findall(_plain(text))
    return _tidy(re.split(r"(?<=[^\s.])\.(?:\s|$)", found[-1], maxsplit=1)[0]) if found else None


def last_number(text: str) -> str | None:
    """The last number written anywhere."""
    found = _NUMBER.findall(text)
    return found[-1].replace(" ", "") if found else None


def last_line(text: str) -> str | None:
    """The last line that says anything."""
    lines = [line for line in map(_tidy, text.splitlines()) if line]
    return lines[-1] if lines else None


def first_of(*extractors: Extractor) -> Extractor:
    """The first extractor that finds anything decides."""

    def extract(text: str) -> str | None:
        return next((found for one in extractors if (found := one(text))), None)

    return extract


def number(text: str) -> str | None:
    """A number, from the clearest place that has one: mark, box, statement, then the last one."""
    for one in (marked, boxed, stated):
        if (found := one(text)) and (value := last_number(found)):
            return value
    return last_number(text)


def marked_number(text: str) -> str | None:
    """The last number after the mark; nothing without the mark."""
    found = marked(text)
    return last_number(found) if found else None


clear = first_of(marked, boxed, stated)
"""An answer in any of the three places a reader would look for it."""

lenient = first_of(clear, last_number, last_line)


def _plain(text: str) -> str:
    """Without the emphasis chat models put around an answer."""
    return re.sub(r"\*\*|__|`", "", text)


def _tidy(text: str) -> str | None:
    """Without emphasis, surrounding dollars and quotes, and a final period."""
    text = _plain(text).strip().strip("$\"'").strip()
    return re.sub(r"(?<=[^.])\.$", "", text).strip() or None


def over_outputs(extract: Extractor) -> Callable[[Sequence[Sequence[str]], object], list[str]]:
    """An extractor in the form of lm-eval's custom filter: one output a document."""

    def apply(outputs: Sequence[Sequence[str]], docs: object) -> list[str]:  # noqa: ARG001
        return [extract(output[0]) or INVALID for output in outputs]

    return apply
