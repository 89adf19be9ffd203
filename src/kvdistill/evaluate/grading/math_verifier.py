"""The process that runs math-verify: `python -m` of this module, one JSON line in, one out.

It is started and killed by `math_equivalence.py`; nothing else may wait for sympy.
"""

import json
import resource
import sys
from typing import Any, Literal

Question = Literal["equal", "holds"]
"""Whether two answers are equal; or whether a whole response holds the gold answer, as math-verify
alone extracts and compares it."""

MAX_MEMORY = 4 << 30  # bytes; 10^{10^{10}} would else be written out
CLOSED_ANSWERS = (
    tuple(form.format(letter) for letter in "abcdefghijklmnopqr" for form in ("({})", "{}")),
    ("true", "false"), ("yes", "no"), ("valid", "invalid"),
)  # fmt: skip
"""Answers that are one of a few words, which math-verify searches for as such."""


def verify_answer(question: Question, response: str, gold: str) -> bool:
    """The verdict on one pair; raises whatever math-verify and sympy raise, may take for ever."""
    from math_verify import parse, verify  # sympy is slow to import; only the child needs it

    def parse_text(text: str) -> list:
        # Both as a formula and as plain text: "3/4" has no dollars, "\frac34" has no box.
        return parse(f"${text}$", parsing_timeout=None) or parse(text, parsing_timeout=None)

    if question == "holds":
        return _holds(response, gold, parse_text(gold))
    ours, theirs = parse_text(gold), parse_text(response)
    if _is_zero_set(theirs[:1]) and not _is_zero_set(ours[:1]) and "=" not in gold:
        return False
    return verify(ours, theirs, timeout_seconds=None) or _is_same_set(ours[:1], theirs[:1])


def _holds(response: str, gold: str, parsed: list) -> bool:
    """Whether the response gives the gold answer, by math-verify's extraction alone."""
    from math_verify import StringExtractionConfig, parse, verify

    words = next((words for words in CLOSED_ANSWERS if gold.casefold() in words), None)
    if words is None:
        return verify(parsed, parse(response, parsing_timeout=None), timeout_seconds=None)
    spellings = {spell(word) for word in words for spell in (str.lower, str.title, str.upper)}
    strings = StringExtractionConfig(strings=tuple(sorted(spellings, key=len, reverse=True)))
    answers = parse(response, [strings], parsing_timeout=None)
    return bool(answers) and str(answers[0]).strip("()") == gold.strip("()").casefold()


def _is_zero_set(answers: list[Any]) -> bool:
    """Whether an answer is an equation like `x^2 - 4 = 0`, which does not say that x is 0."""
    from sympy import Add, Eq

    return any(isinstance(a, Eq) and a.rhs == 0 and isinstance(a.lhs, Add) for a in answers)


def _is_same_set(*answers: list[Any]) -> bool:
    """Whether an inequality and an interval, or two of either, are one set of real numbers."""
    try:
        ours, theirs = (_read_set(answer) for (answer,) in answers)
    except Exception:  # noqa: BLE001  (whatever sympy raises on what is no such set)
        return False
    return bool(ours is not None and ours == theirs)


def _read_set(answer: Any) -> Any:
    """The set of an interval, of inequalities joined by and (a chain) or or (a list); else None."""
    from sympy import And, Eq, FiniteSet, Intersection, Rel, Set, Union

    if isinstance(answer, Eq) and isinstance(answer.rhs, Set):
        return answer.rhs  # x \in [0, 1], as it is parsed
    if isinstance(answer, FiniteSet) and all(isinstance(each, Rel | And) for each in answer.args):
        return Union(*map(_read_set, answer.args))
    if isinstance(answer, Set):
        return answer
    if isinstance(answer, And):
        return Intersection(*map(_read_set, answer.args))
    is_inequality = isinstance(answer, Rel) and not isinstance(answer, Eq)
    return answer.as_set() if is_inequality and len(answer.free_symbols) == 1 else None


def serve_requests() -> None:
    """Answer each line of standard input, [question, response, gold], by `true` or `false`."""
    import math_verify  # noqa: F401  (before "ready", so that no answer's time pays for sympy)

    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    _write_line("ready")
    for line in sys.stdin:
        _write_line(json.dumps(_try_verify(*json.loads(line))))


def _try_verify(question: Question, response: str, gold: str) -> bool:
    try:
        return bool(verify_answer(question, response, gold))
    except Exception:  # noqa: BLE001  (whatever a parser raises on a model's text: no match)
        return False


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve_requests()
