"""The answers of BIG-Bench Hard: an option, a truth value, a number, sorted words, or brackets.

lm-eval's own pattern asks for "the answer is X." with the final period, and takes `**(A)**`, "(A)"
without a period and "Answer: (A)" for wrong ones.
"""

import re

from kvdistill.evaluate.grading.extract import clear, last_line

_OPTION = re.compile(r"\(([A-R])\)")
_BARE_OPTION = re.compile(r"(?:option\s+)?([A-R])(?:$|[).:,]|\s*$)", re.IGNORECASE)
_WORD = re.compile(r"\b(true|false|yes|no|invalid|valid|plausible|implausible)\b", re.IGNORECASE)
_NOT_VALID = re.compile(r"\bnot\s+(?:deductively\s+)?valid\b", re.IGNORECASE)


def answer(text: str) -> str | None:
    """The answer after some reasoning: where it is stated, else the last that looks like one."""
    return clear(text) or _last_form(_NOT_VALID.sub("invalid", text))


def direct_answer(text: str) -> str | None:
    """The answer where nothing else was asked for: what is stated, else the first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return clear(text) or (lines[0] if lines else None)


def same(given: str, gold: str) -> bool:
    """Equal in the form the gold answer has."""
    if option := _OPTION.fullmatch(gold.strip()):
        return _option(given) == option[1]
    if _WORD.fullmatch(gold.strip()):
        return _word(given) == gold.strip().casefold()
    if re.fullmatch(r"-?\d+", gold.strip()):
        numbers = re.findall(r"-?\d[\d,]*", given)
        return bool(numbers) and numbers[-1].replace(",", "") == gold.strip()
    if re.search(r"[a-z]", gold):
        return _words(given) == _words(gold)
    return _brackets(given).endswith(_brackets(gold)) and bool(_brackets(gold))


def chance(question: str, target: str) -> float:
    """Score of guessing: one over the options, a half for a truth value, 0 for the rest."""
    if _OPTION.fullmatch(target.strip()):
        _, _, options = question.rpartition("Options:")
        return 1 / max(len(set(_OPTION.findall(options))), 1)
    return 0.5 if _WORD.fullmatch(target.strip()) else 0.0


def _last_form(text: str) -> str | None:
    """The last option or truth value anywhere, else the last line."""
    options = _OPTION.findall(text)
    if options:
        return f"({options[-1]})"
    words = _WORD.findall(text)
    return words[-1] if words else last_line(text)


def _option(given: str) -> str | None:
    found = _OPTION.findall(given)
    if found:
        return found[0]
    bare = _BARE_OPTION.match(given.strip())
    return bare[1].upper() if bare else None


def _word(given: str) -> str | None:
    found = _WORD.findall(_NOT_VALID.sub("invalid", given))
    return found[0].casefold() if found else None


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9'-]+", text.casefold())


def _brackets(text: str) -> str:
    return "".join(re.findall(r"[()\[\]{}<>]", text))
