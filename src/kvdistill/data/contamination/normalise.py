"""What counts as the same question: one normalisation for group ids and for leakage.

Letters and digits only, after NFKC and case folding: case, width, punctuation, symbols and white
space never tell two groups apart.
"""

import hashlib
import re
import unicodedata

SPECIFICATION = (
    "v1: NFKC, casefold, NFKC; letters and digits only, white space dropped; tokens are words, "
    "numbers, and single characters of scripts written without spaces"
)
"""Written into every report. Raise the version whenever a function below changes its result."""

MAX_DIFFERING_OPERATORS = 0.05
"""Share of a text's tokens; above it, operators make two texts different items."""

_OPERATORS = frozenset("+-*/^=<>()[]{}|&~")
# Kana, Han, and Thai to Khmer: scripts without spaces between words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}\U00020000-\U0003ffff]")
_TOKEN = re.compile(f"[{_UNSPACED}\U00020000-\U0003ffff]|[^\\W_{_UNSPACED}\U00020000-\U0003ffff]+")
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_GAP = re.compile(r"[\W_]+")


def fold_text(text: str) -> str:
    """One form for all cases and compatibility variants (full width, ligatures) of a text."""
    # Twice: case folding can produce characters that are not in NFKC.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def keep_alphanumerics(text: str) -> str:
    """The letters and digits of a text, nothing between them.

    A text of symbols alone keeps them: it would otherwise equal every other such text.
    """
    folded = fold_text(text)
    return _GAP.sub("", folded) or "".join(folded.split())


def compute_group_id(question: str) -> str:
    """sha256, in hex, of the question's letters and digits; one group lies in one part of a split.

    Coarser than equality on purpose: `12 + 3` and `1 + 23` share a group, at no harm.
    """
    return hashlib.sha256(keep_alphanumerics(question).encode()).hexdigest()


def split_ngram_tokens(text: str) -> list[str]:
    """Words, numbers and single unspaced characters, folded: the units of n-grams."""
    return _TOKEN.findall(fold_text(text))


def mask_numbers(text: str) -> str:
    """The words of a text with `0` for each number: equal for what one template makes.

    Numbers are runs of digits, with a point, comma, colon or stroke between digits.
    """
    return " ".join(_TOKEN.findall(_NUMBER.sub("0", fold_text(text))))


def split_characters(text: str) -> list[str]:
    """The letters and digits one by one, of a text that holds a script without spaces; else none.

    In such texts formulas and numbers stand between characters: as whole words they would hide how
    little of the text was changed.
    """
    return list(keep_alphanumerics(text)) if _UNSPACED_CHARACTER.search(text) else []


def differ_in_operators(one: str, other: str) -> bool:
    """Whether two texts with the same letters and digits are different items all the same.

    They are where enough operators or number boundaries differ (`3 + 4` and `3 - 4`, `12 3` and
    `1 23`, brackets); missing on one side only, they were stripped, and the items are the same.
    """
    left, right = _find_gaps(one), _find_gaps(other)
    differing = 0
    # Where only one text has operators, the other was stripped of them: no difference.
    for place in left.keys() & right.keys():
        a, b = (_keep_operators(gaps[place]) for gaps in (left, right))
        if a and b and a != b:
            differing += max(len(a), len(b))
    kept = keep_alphanumerics(one)
    # Gaps that divide a number in one text only. The lesser count of the two sides: a text that
    # was stripped of all its gaps has none of its own.
    breaks = [
        sum(
            0 < place < len(kept) and kept[place - 1].isdigit() and kept[place].isdigit()
            for place in gaps.keys() - others.keys()
        )
        for gaps, others in ((left, right), (right, left))
    ]
    return differing + min(breaks) > MAX_DIFFERING_OPERATORS * len(split_ngram_tokens(one))


def _find_gaps(text: str) -> dict[int, str]:
    """What stands between letters and digits, by how many letters and digits come before it."""
    kept, gaps, end = 0, {}, 0
    folded = fold_text(text)
    for match in _GAP.finditer(folded):
        kept += match.start() - end
        end = match.end()
        gaps[kept] = match[0]
    return gaps


def _keep_operators(gap: str) -> str:
    return "".join(c for c in gap if c in _OPERATORS)
