"""The answers of BIG-Bench Hard: an option, a truth value, a number, sorted words, or brackets.

lm-eval's own pattern asks for "the answer is X." with the final period, and takes `**(A)**`, "(A)"
without a period and "Answer: (A)" for wrong ones.
"""

import re

from kvdistill.evaluate.grading.extract import extract_explicit, find_last_line

_OPTION = re.compile(r"\(([A-R])\)")
_BARE_OPTION = re.compile(r"(?:option\s+)?([A-R])(?:$|[).:,]|\s*$)", re.IGNORECASE)
_WORD = re.compile(r"\b(true|false|yes|no|invalid|valid|plausible|implausible)\b", re.IGNORECASE)
_NOT_VALID = re.compile(r"\bnot\s+(?:deductively\s+)?valid\b", re.IGNORECASE)


def extract_bbh_answer(text: str) -> str | None:
    """The answer after some reasoning: what is stated, else the last option or truth value."""
    # "not valid" would else be read as its last word.
    return extract_explicit(text) or _find_last_answer(_NOT_VALID.sub("invalid", text))


def extract_bbh_direct_answer(text: str) -> str | None:
    """The answer where nothing else was asked for: what is stated, else the first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return extract_explicit(text) or (lines[0] if lines else None)


def match_bbh_answer(response: str, gold: str) -> bool:
    """Whether both are equal in the form that the gold answer has.

    Options are compared by letter, truth values by word, whole numbers by the last in the response,
    sorted words in order, brackets with the end of those in the response.
    """
    if option := _OPTION.fullmatch(gold.strip()):
        return _find_option(response) == option[1]
    if _WORD.fullmatch(gold.strip()):
        return _find_truth_value(response) == gold.strip().casefold()
    if re.fullmatch(r"-?\d+", gold.strip()):
        numbers = re.findall(r"-?\d[\d,]*", response)
        return bool(numbers) and numbers[-1].replace(",", "") == gold.strip()
    # Only the tasks of sorted words are left with letters; what has none completes brackets.
    if re.search(r"[a-z]", gold):
        return _split_words(response) == _split_words(gold)
    # A model may repeat the sequence before it closes it, so the end decides.
    return _keep_brackets(response).endswith(_keep_brackets(gold)) and bool(_keep_brackets(gold))


def compute_chance(question: str, target: str) -> float:
    """Expected score of guessing: one over the options, a half for a truth value, else 0."""
    if _OPTION.fullmatch(target.strip()):
        _, _, options = question.rpartition("Options:")
        return 1 / max(len(set(_OPTION.findall(options))), 1)
    return 0.5 if _WORD.fullmatch(target.strip()) else 0.0


def _find_last_answer(text: str) -> str | None:
    """The last option or truth value anywhere, else the last line."""
    options = _OPTION.findall(text)
    if options:
        return f"({options[-1]})"
    words = _WORD.findall(text)
    return words[-1] if words else find_last_line(text)


def _find_option(response: str) -> str | None:
    options = _OPTION.findall(response)
    if options:
        return options[0]
    bare = _BARE_OPTION.match(response.strip())
    return bare[1].upper() if bare else None


def _find_truth_value(response: str) -> str | None:
    words = _WORD.findall(_NOT_VALID.sub("invalid", response))
    return words[0].casefold() if words else None


def _split_words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9'-]+", text.casefold())


def _keep_brackets(text: str) -> str:
    return "".join(re.findall(r"[()\[\]{}<>]", text))
