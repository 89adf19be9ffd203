r"""Answers of MATH that math-verify reads otherwise than they are meant: bases, words, percent.

math-verify drops the subscript of `204_5`, so that `204_6` equals it, and multiplies the letters of
a word. These are compared here; everything else is rewritten where only the spelling is in the way.
"""

import re
from fractions import Fraction

from kvdistill.evaluate.grading.letters import read_letter
from kvdistill.evaluate.grading.numbers import is_bare_number, parse_number
from kvdistill.evaluate.grading.plain_text import fold_characters

LETTERS = "ABCDEFGHIJ"

_TEXT = re.compile(
    r"\\(?:text(?:bf|it|rm|normal)?|mbox|math(?:rm|bf|it)|operatorname)\s*\{([^{}]*)\}"
)
_BASED = re.compile(
    r"\(?(?P<digits>[0-9A-F]*[0-9][0-9A-F]*(?:\.[0-9A-F]+)?)\)?"
    r"(?:_\{?\(?|,?in(?=base)|(?=base))(?:base-?)?(?P<base>\d+|[a-z]+)\)?\}?",
    re.IGNORECASE,
)
_ARTICLE = re.compile(r"\b(?:a|an|the)\b\s*", re.IGNORECASE)
_REWRITES = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?<=\d)(?:\{,\}|,\\!|\\[,;: !]|[ ~])(?=\d{3}(?!\d))", ""),  # thousands
        (r"(?<![\d/.\\{])(\d+) (\d+)/(\d+)(?![\d/])", r"\1\\frac{\2}{\3}"),  # a mixed number
        (r"\u221a\s*(\d+|\([^()]*\))", r"\\sqrt{\1}"),
        ("\u03c0", r"\\pi "),
        ("\u221e", r"\\infty "),
        ("\u2264", r"\\le "),
        ("\u2265", r"\\ge "),
        ("\u222a", r"\\cup "),
        ("\u2208", r"\\in "),
        ("\u00b1", r"\\pm "),
        (r"\*\*", "^"),
        (r"(?<=[^.])\.$", ""),
    )
]
_GROUPED = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")


def rewrite_signs(answer: str) -> str:
    """An answer in the LaTeX that math-verify parses: signs as commands, thousands joined."""
    answer = fold_characters(answer.replace("\u00b0", r"^\circ "))
    for pattern, replacement in _REWRITES:
        answer = pattern.sub(replacement, answer)
    # Within brackets, 1,234 are two.
    if not re.search(r"[(\[{]", answer):
        answer = _GROUPED.sub(lambda match: match[0].replace(",", ""), answer)
    return answer.strip()


def compare_forms(response: str, gold: str) -> bool | None:
    """Whether both are the same number in a base, the same words, or the same percentage.

    None where the gold answer is none of these: that is for math-verify.
    """
    for compare in (_compare_based, _compare_words, _compare_percent, _compare_brackets):
        verdict = compare(response, gold)
        if verdict is not None:
            return verdict
    return None


def _compare_based(response: str, gold: str) -> bool | None:
    """Numbers with a base: digits and base must agree.

    A response without a base is taken to be in the gold one's, as the problem states it.
    """
    ours, theirs = _read_based(response), _read_based(gold)
    if theirs is None and ours is None:
        # Subscripts of numbers in a larger expression are none that math-verify would compare.
        subscripted = re.compile(r"\d\)?\s*_\s*\{?\s*\d")
        if subscripted.search(response) or subscripted.search(gold):
            return _squeeze(response) == _squeeze(gold)
        return None
    if theirs is None:
        assert ours is not None
        return ours[1] == 10 and parse_number(ours[0]) == parse_number(gold)
    if ours is None:
        return _squeeze(response).lstrip("0") == theirs[0]
    return ours == theirs


def _read_based(answer: str) -> tuple[str, int] | None:
    """(digits without leading zeros, base) of a number with a base; None for anything else."""
    last = re.split(r"(?<![<>!\\])=", _TEXT.sub(r"\1", answer))[-1]
    match = _BASED.fullmatch(_squeeze(last))
    base = parse_number(match["base"]) if match else None
    if match is None or base is None:
        return None
    return match["digits"].upper().lstrip("0"), int(base)


def _compare_words(response: str, gold: str) -> bool | None:
    r"""Words, whether in `\text{}` or not, case and articles aside; a letter in it is an option."""
    inner = _TEXT.fullmatch(gold.strip())
    words = inner[1].strip() if inner else gold.strip()
    if inner and re.fullmatch(r"\(?[A-J]\)?", words):
        return read_letter(response, LETTERS) == words.strip("()")
    if not re.fullmatch(r"[A-Za-z][A-Za-z' -]*" if inner else r"[A-Za-z' -]{4,}", words):
        return None
    return _fold_words(response) == _fold_words(words)


def _fold_words(answer: str) -> str:
    text = _TEXT.sub(r"\1", answer).replace("$", "").replace("\\ ", " ").strip(" .\"'")
    return " ".join(_ARTICLE.sub("", text).casefold().split())


def _compare_percent(response: str, gold: str) -> bool | None:
    """`10%` is ten where percent are asked for, and a tenth; None where neither has the sign."""
    if not ("%" in response) ^ ("%" in gold):
        return None
    marked, bare = (response, gold) if "%" in response else (gold, response)
    if not (is_bare_number(marked) and is_bare_number(bare)):
        return None
    percent, value = parse_number(marked), parse_number(bare)
    assert percent is not None
    return value in (percent, percent / Fraction(100))


def _compare_brackets(response: str, gold: str) -> bool | None:
    r"""A pair is no set, though math-verify takes `\{3,4\}` for `(3,4)`; None for all else."""
    is_tuple = re.fullmatch(r"\s*\(.*,.*\)\s*", gold)
    return False if is_tuple and re.fullmatch(r"\s*\\\{.*\\\}\s*", response) else None


def _squeeze(answer: str) -> str:
    """Without spaces, dollars and a final period: what spelling of a number leaves."""
    return re.sub(r"\s|\\[,;: !]|\$|\.$", "", answer)
