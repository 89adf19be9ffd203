"""The number that a statement gives: its first one, where that is definite.

A number is definite when nothing beside it makes it one of several: no range, list, ratio, time or
date, no second unit, no expression that is left to be worked out. In a chain of equations the last
side that is one number counts.
"""

import re
from collections.abc import Iterator
from fractions import Fraction

from kvdistill.data.rows.worked_number import SCALES
from kvdistill.evaluate.grading.plain_text import simplify_markup

MAX_DIGITS = 60
"""A number with more is no answer; and integers of any size take time without bound."""

MAX_PREFIX = 6
"""Words that may stand between "the answer is" and its number."""

_SCALES = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "k": 10**3, **SCALES,
}  # fmt: skip
_WORDS = {
    word: value
    for words, start, step in (
        ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
         "fifteen sixteen seventeen eighteen nineteen", 0, 1),
        ("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10),
    )
    for value, word in zip(range(start, 100, step), words.split(), strict=False)
}  # fmt: skip
_TENS = "|".join(word for word, value in _WORDS.items() if value >= 20)
_UNITS = "|".join(word for word, value in _WORDS.items() if 0 < value < 10)
_ANY_WORD = "|".join(sorted(_WORDS, key=len, reverse=True))
_WORD = re.compile(
    rf"\b(?:(?P<tens>{_TENS})[- ](?P<unit>{_UNITS})|(?P<word>{_ANY_WORD}))\b", re.IGNORECASE
)
_INTEGER = (
    r"(?:\d{1,3}(?:,\d{3})+|\d{1,2}(?:,\d{2})+,\d{3}|\d{1,3}(?:[ ]\d{3})+"
    r"|\d{1,3}(?:['\u2019_]\d{3})+|\d{1,3}(?:\.\d{3}){2,}|\d+)(?![\d_'\u2019]\d|\d)"
)
_NUMBER = re.compile(
    rf"""(?<![A-Za-z0-9_.\\^])
    (?P<sign>(?<![)\]%])-\s?|\bminus\s|\bnegative\s|负|\+\s?)?
    (?:(?P<whole>\d+)(?:\s|\sand\s|-)(?=\d+/\d))?
    (?:10\^(?P<ten>\d{{1,2}})(?!\d)|(?P<number>{_INTEGER}(?:\.\d+)?|\.\d+))
    (?:\s?/\s?(?P<below>\d+(?:\.\d+)?)(?![\d/]))?
    (?:\s?[*x]\s?10\s?\^\s?(?P<power>[-+]?\d{{1,2}})(?!\d)|[eE](?P<exponent>[-+]?\d{{1,2}})(?![\d.]))?
    (?:\s?(?P<scale>hundred|thousand|million|billion|trillion|[百千万亿])|(?P<k>k\b))?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_AMOUNT = r"(?:usd\s?|rs\s)?[-+]?(?:\d|\.\d)"
_UNIT = r"(?:\s?[A-Za-z\u4e00-\u9fff%'\u00b0]+){0,3}?"
_CONTINUES = re.compile(
    rf"""\s?(?:[:/]\s?\d|[-~]\s?{_AMOUNT}|,\d|[!^]\s?\d|\\|\d
    |{_UNIT}\s?(?:,|\u3001|;|\band\b|\bor\b|&|\bto\b|\bthrough\b|\bout\sof\b|或|和|到)\s?
     (?:\bor\s|\band\s)?(?:\s*\(?[a-z]\s=\s)?{_AMOUNT}
    )|[a-z](?![A-Za-z])(?<![gmhlsckt])|(?-i:[MB])\b
    |\s?\u00b1|\sof\s(?:the\s)?\d|\s(?:doubled|tripled|halved|squared|cubed)\b|\s?\(\s?or\b
    """,
    re.VERBOSE | re.IGNORECASE,
)  # fmt: skip
_OPERATES = re.compile(
    rf"{_UNIT}\s?(?:[-+*/\u00f7^=]|\b[x\u00d7]\b|\btimes\b|\bplus\b|\bminus\b|\bdivided\sby\b|\bmultiplied\sby\b)"
    rf"\s?\(?(?:{_AMOUNT}|\()|{_UNIT}\s?=",
    re.IGNORECASE,
)
_EQUALS = re.compile(r"(?<![<>!=])=+|\bequals\b|\bis equal to\b|等于")
_BOUND = re.compile(
    r"\b(?:between|from|either|neither|twice|half|double|triple"
    r"|(?:less|more|fewer|greater|smaller) than)\b|[<>]",
    re.IGNORECASE,
)
_EXPLAINS = re.compile(
    r"\b(?:by|because|since|multiply\w*|add\w*|subtract\w*|divid\w*|tak(?:e|ing)|step|part|day|question|option|which|if"
    r"|when|after|with)\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    rf"(?:\bnot|n't|\brather than|\binstead of|不是|而非)\s+"
    rf"(?:be\s|just\s|only\s|equal to\s|simply\s|the\s)*{_NUMBER.pattern}"
    rf"|(?:,|;)?\s?(?:and\s|but\s)?(?<![\d.,/])[\d.,/]{{1,20}}\s(?:is|was|would\sbe)\s(?:wrong|incorrect|not\b)",
    re.VERBOSE | re.IGNORECASE,
)


class AmbiguousAnswerError(ValueError):
    """A statement gives several numbers, or one that is not worked out."""


def parse_number(text: str) -> Fraction | None:
    """The value of a text that is one number: `$1,234.50`, `50%`, `3/4`, `18 eggs`; else None."""
    try:
        return read_value(simplify_markup(text))
    except AmbiguousAnswerError:
        return None


def is_bare_number(text: str) -> bool:
    """Whether a gold answer is a number and nothing else, units but `$` and `%` included."""
    plain = simplify_markup(text).strip(" %.")
    return not re.search(r"[^\W\d_]", plain) and parse_number(text) is not None


def read_value(statement: str) -> Fraction | None:
    """The value that plain text states; None where no number stands at its beginning.

    Raises AmbiguousAnswerError where one does, and it is not definite.
    """
    statement = drop_negated(statement)
    match = next(find_numbers(statement), None)
    if match is None:
        return _read_words(statement)
    prefix, tail = statement[: match.start()], statement[match.end() :]
    if "\\" in prefix or _BOUND.search(prefix) or _opens_interval(prefix, tail):
        raise AmbiguousAnswerError(statement)
    if _EXPLAINS.search(prefix) or len(re.findall(r"[A-Za-z]+", prefix)) > MAX_PREFIX:
        return None
    if _OPERATES.match(tail) or _is_side_of_chain(prefix):
        return _read_chain(statement)
    if _CONTINUES.match(tail):
        raise AmbiguousAnswerError(statement)
    return compute_value(match)


def drop_negated(statement: str) -> str:
    """`statement` without the numbers that it says are not the answer, its white space single."""
    return " ".join(_NEGATED.sub(" ", statement).split())


def find_numbers(text: str) -> Iterator[re.Match[str]]:
    """Every number written in plain text, in order; digits of a longer number never alone."""
    return (match for match in _NUMBER.finditer(text) if match["number"] or match["ten"])


def compute_value(match: re.Match[str]) -> Fraction:
    """The value of what `find_numbers` gives. Raises AmbiguousAnswerError without a value."""
    digits = re.sub(r"[, '\u2019_]", "", match["number"] or "1")
    if digits.count(".") > 1:
        digits = digits.replace(".", "")
    below = Fraction(match["below"] or 1)
    if len(digits) > MAX_DIGITS or not below:
        raise AmbiguousAnswerError(match[0])
    value = int(match["whole"] or 0) + Fraction(digits) / below
    value *= Fraction(10) ** int(match["ten"] or match["power"] or match["exponent"] or 0)
    value *= _SCALES[(match["scale"] or match["k"]).lower()] if match["scale"] or match["k"] else 1
    return -value if (match["sign"] or "+").strip().lower() not in ("+", "") else value


def _is_side_of_chain(prefix: str) -> bool:
    """Whether an operator before the number makes it part of a calculation: `x - 18`, `(18`."""
    return bool(re.search(r"=|[A-Za-z)]\s?[-+*/\u00f7^]\s?\(?$", prefix))


def _opens_interval(prefix: str, tail: str) -> bool:
    """Whether brackets hold the number and others."""
    return bool(re.search(r"[(\[]\s?$", prefix) and re.match(r"\s?,", tail))


def _read_chain(statement: str) -> Fraction:
    """The last side of the equations that is one number; all equations of a list must agree."""
    values = []
    stated = re.split(r"\s\(|\b(?:because|since|which|as|where)\b", statement, maxsplit=1)[0]
    for clause in re.split(r"[,;]\s|\b(?:and|so)\b", stated):
        sides = _EQUALS.split(clause)
        if len(sides) > 1:
            values += [v for v in map(_read_side, sides) if v is not None][-1:]
    if len(set(values)) != 1:
        raise AmbiguousAnswerError(statement)
    return values[0]


def _read_side(side: str) -> Fraction | None:
    """The value of one side of an equation, if that is one number with whatever unit."""
    match = next(find_numbers(side), None)
    if match is None or re.search(r"[\w)\\(]", side[: match.start()]):
        return None
    tail = side[match.end() :]
    if _OPERATES.match(tail) or _CONTINUES.match(tail):
        return None
    return compute_value(match)


def _read_words(statement: str) -> Fraction | None:
    """A number in English words, where it stands first and nothing but a unit follows."""
    match = _WORD.match(statement)
    if match is None or _WORD.search(statement, match.end()):
        return None
    tail = statement[match.end() :].strip().rstrip(".!")
    # "one of them", "two hundred": not a number by itself.
    if not re.fullmatch(r"[A-Za-z]{0,12}", tail) or tail.lower() in {*_SCALES, "of", "half"}:
        return None
    words = (match["tens"], match["unit"], match["word"])
    return Fraction(sum(_WORDS[word.lower()] for word in words if word))
