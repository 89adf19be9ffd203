"""A second reading of every written response, which shares no rule with the first.

The audit counts where the two differ. Benchmarks are read by math-verify, from the whole response
to the verdict; the generated tasks, which ask for few words, by the last word or number of all.
"""

import re

from kvdistill.evaluate.grading.extract import Doc
from kvdistill.evaluate.grading.math_equivalence import is_right_by_math_verify

_LAST_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:/\d+)?")
_LAST_LETTER = re.compile(r"(?<![A-Za-z])[A-Z](?![A-Za-z])")
_LAST_WORD = re.compile(r"[^\W_]+")
_ANNOUNCED = re.compile(r"(?:answer is|answer:|####)\s*([^\n]+)", re.IGNORECASE)


def read_by_math_verify(text: str, doc: Doc) -> str | None:
    """The gold answer where math-verify takes the response for right, else nothing.

    lm-eval grades what a filter gives, and math-verify gives a verdict.
    """
    return doc["target"] if is_right_by_math_verify(text, doc["target"]) else None


def read_bbh_again(text: str, doc: Doc) -> str | None:
    """An answer of BBH as math-verify finds it among the words it may be; a list as announced.

    math-verify knows no lists of words and no brackets: of these, the last line announced.
    """
    gold = doc["target"].strip()
    if re.fullmatch(r"-?\d+|\([A-R]\)|(?i:true|false|yes|no|valid|invalid)", gold):
        return gold if is_right_by_math_verify(text, gold) else None
    announced = _ANNOUNCED.findall(text) or text.strip().splitlines()[-1:]
    return re.sub(r"[,.`*]", "", announced[-1]).strip() or None if announced else None


def read_last(text: str, doc: Doc) -> str | None:
    """The last number, letter or word of all, as the gold answer is one of them."""
    if doc.get("letters"):
        pattern = _LAST_LETTER
    else:
        pattern = _LAST_NUMBER if re.search(r"\d", doc["target"]) else _LAST_WORD
    matches = pattern.findall(text)
    return matches[-1] if matches else None
