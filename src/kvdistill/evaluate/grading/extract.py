"""From what a model wrote to the answer it gives: pure functions of the text.

A missing answer is None, never a guess; lm-eval's own regexes and where they fail (a final period
that is demanded, bold letters, the last number of anything) are what the golden tests cover.
"""

import re
from collections.abc import Callable, Sequence

INVALID = "[invalid]"
"""The answer of an output without an answer, as lm-eval's own filters give it."""

Extractor = Callable[[str], str | None]

_NUMBER = re.compile(r"(?<![\w.])-?\s?\$?\d[\d,]*(?:\.\d+)?(?:/\d+)?|(?<![\w.])-?\$?\.\d+")
_STATED = re.compile(
    # "answer is", "Answer:", and the same in Chinese, whose colon may be full width.
    "(?:answer\\s{0,2}(?:is\\b|:|=)|\u7b54\u6848\\s?(?:\u662f|\u4e3a|:|\uff1a))\\s*:?\\s*([^\n]+)",
    re.IGNORECASE,
)


def extract_after_mark(text: str) -> str | None:
    """What follows the first `####`, to the end of its line: the study's own form of an answer."""
    _, mark, after = text.partition("####")
    return _strip_answer(after.lstrip(" \t").split("\n", 1)[0]) if mark else None


def extract_from_box(text: str) -> str | None:
    r"""Content of the last `\boxed{...}`, braces balanced; `\boxed 5` too.

    A box whose braces never close (a text that was cut off) is passed over for the one before it.
    """
    for start in reversed([match.end() for match in re.finditer(r"\\(?:boxed|fbox)\s*", text)]):
        if text[start : start + 1] != "{":
            bare = re.match(r"[^\s$]+", text[start:])
            return _strip_answer(bare.group()) if bare else None
        depth = 0
        for end in range(start, len(text)):
            depth += (text[end] == "{") - (text[end] == "}")
            if depth == 0:
                return _strip_answer(text[start + 1 : end])
    return None


def extract_from_statement(text: str) -> str | None:
    """What follows the last "answer is" or "answer:" on its line, up to the end of the sentence."""
    statements = _STATED.findall(_strip_emphasis(text))
    if not statements:
        return None
    # A sentence ends at a period before a space: that of "3.5" ends none, nor do the last of "...".
    return _strip_answer(re.split(r"(?<=[^\s.])\.(?:\s|$)", statements[-1], maxsplit=1)[0])


def find_last_number(text: str) -> str | None:
    """The last number written anywhere, with its dollar sign, commas and fraction."""
    numbers = _NUMBER.findall(text)
    return numbers[-1].replace(" ", "") if numbers else None


def find_last_line(text: str) -> str | None:
    """The last line that says anything."""
    lines = [line for line in map(_strip_answer, text.splitlines()) if line]
    return lines[-1] if lines else None


def chain_extractors(*extractors: Extractor) -> Extractor:
    """An extractor that gives the answer of the first of `extractors` that has one."""

    def extract(text: str) -> str | None:
        return next((answer for extractor in extractors if (answer := extractor(text))), None)

    return extract


def extract_number(text: str) -> str | None:
    """A number, from the clearest place that has one: mark, box, statement, then the last one."""
    for extractor in (extract_after_mark, extract_from_box, extract_from_statement):
        if (answer := extractor(text)) and (digits := find_last_number(answer)):
            return digits
    return find_last_number(text)


def extract_number_after_mark(text: str) -> str | None:
    """The last number after the mark; nothing without the mark."""
    answer = extract_after_mark(text)
    return find_last_number(answer) if answer else None


extract_explicit = chain_extractors(extract_after_mark, extract_from_box, extract_from_statement)
"""An answer in any of the three places a reader would look for it."""

extract_leniently = chain_extractors(extract_explicit, find_last_number, find_last_line)


def _strip_emphasis(text: str) -> str:
    """The text without the emphasis (Markdown) that chat models put around an answer."""
    return re.sub(r"\*\*|__|`", "", text)


def _strip_answer(text: str) -> str | None:
    """Without emphasis, surrounding dollars and quotes, and a final period; None for nothing."""
    text = _strip_emphasis(text).strip().strip("$\"'").strip()
    # Two periods or more are an ellipsis, which is no end of an answer.
    return re.sub(r"(?<=[^.])\.$", "", text).strip() or None


def make_filter(extract: Extractor) -> Callable[[Sequence[Sequence[str]], object], list[str]]:
    """An extractor in the form of lm-eval's custom filter.

    That takes the outputs of every document (of each, the first is read) and returns one answer a
    document, INVALID where there is none.
    """

    def apply(outputs: Sequence[Sequence[str]], docs: object) -> list[str]:  # noqa: ARG001
        return [extract(output[0]) or INVALID for output in outputs]

    return apply
