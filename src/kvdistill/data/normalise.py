"""What counts as the same question: one normalisation for group ids and for leakage.

Letters and digits only, after NFKC and case folding: case, width, punctuation, symbols and white
space never tell two groups apart. EVALUATION.md section 3: 50 of 50 altered copies found.
"""

import hashlib
import re
import unicodedata

SPECIFICATION = (
    "v1: NFKC, casefold, NFKC; letters and digits only, white space dropped; tokens are words, "
    "numbers, and single characters of scripts written without spaces"
)
"""Written into every report; renamed whenever the functions below change."""

MAX_CONFLICT = 0.05
"""Share of a text's tokens; above it, operators make two texts different items."""

_OPERATORS = frozenset("+-*/^=<>()[]{}|&~")
# Kana, Han, and Thai to Khmer: scripts without spaces between words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(f"[{_UNSPACED}\U00020000-\U0003ffff]|[^\\W_{_UNSPACED}\U00020000-\U0003ffff]+")
_GAP = re.compile(r"[\W_]+")


def folded(text: str) -> str:
    """Compatibility forms and case made one; NFKC again, since folding can undo it."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def squashed(text: str) -> str:
    """The letters and digits of a text, nothing between them.

    A text of symbols alone keeps them: it would otherwise equal every other such text.
    """
    kept = folded(text)
    return _GAP.sub("", kept) or "".join(kept.split())


def group_id(question: str) -> str:
    """Questions of one group never part: sha256 of the squashed question, in hex.

    Coarser than equality on purpose: `12 + 3` and `1 + 23` share a group, at no harm.
    """
    return hashlib.sha256(squashed(question).encode()).hexdigest()


def tokens(text: str) -> list[str]:
    """Words, numbers and single unspaced characters, folded: the units of n-grams."""
    return _TOKEN.findall(folded(text))


def conflict(one: str, other: str) -> bool:
    """Whether two texts with the same letters and digits are different items all the same.

    They are where enough operators or number boundaries differ (`3 + 4` and `3 - 4`, `12 3` and
    `1 23`, brackets); missing on one side only, they were stripped, and the items are the same.
    """
    left, right = _gaps(one), _gaps(other)
    differing = 0
    for place in left.keys() & right.keys():
        a, b = (_operators(gaps[place]) for gaps in (left, right))
        if a and b and a != b:
            differing += max(len(a), len(b))
    kept = squashed(one)
    breaks = [
        sum(
            0 < place < len(kept) and kept[place - 1].isdigit() and kept[place].isdigit()
            for place in gaps.keys() - others.keys()
        )
        for gaps, others in ((left, right), (right, left))
    ]
    return differing + min(breaks) > MAX_CONFLICT * len(tokens(one))


def _gaps(text: str) -> dict[int, str]:
    """What stands between letters and digits, by the number of them before it."""
    kept, gaps, end = 0, {}, 0
    whole = folded(text)
    for match in _GAP.finditer(whole):
        kept += match.start() - end
        end = match.end()
        gaps[kept] = match[0]
    return gaps


def _operators(gap: str) -> str:
    return "".join(c for c in gap if c in _OPERATORS)
