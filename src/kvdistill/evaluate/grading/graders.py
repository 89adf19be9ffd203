"""From the answer a model gave to right or wrong: the `process_results` of the task files.

Each takes lm-eval's document (`target` is the gold answer) and the one filtered output, and returns
`{"correct": 0.0 or 1.0}`; an output without an answer is wrong, whatever the gold one.
"""

import math
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from kvdistill.evaluate.grading import bbh, math_equivalence
from kvdistill.evaluate.grading.extract import INVALID

Doc = Mapping[str, Any]


def grade_exact(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """Equal as numbers where both are numbers, else as text, case and spaces aside."""
    return _grade(results[0], doc["target"], is_equal)


def grade_bbh(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """Equal as an answer of BBH: `(A)` is `A`, a list is its words, brackets are themselves."""
    return _grade(results[0], doc["target"], bbh.match_bbh_answer)


def grade_math(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """Equal as mathematics, by math-verify in a process of its own."""
    return _grade(results[0], doc["target"], math_equivalence.is_equivalent)


def grade_probability_mass(doc: Doc, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Share of the choices' probability that lies on true ones (TruthfulQA MC2)."""
    logs = [log for log, _ in results]
    # Shifted by the largest, so that long choices do not all underflow to zero.
    weights = [math.exp(log - max(logs)) for log in logs]
    true = sum(w for w, label in zip(weights, doc["labels"], strict=True) if label)
    return {"correct": true / sum(weights)}


def grade_byte_probability(doc: Doc, results: Sequence[tuple[float, bool]]) -> dict[str, float]:
    """Geometric mean of the probability of a byte of the worked answer: 2 ** -(bits a byte).

    Between 0 and 1 as every score is, and comparable over tokenizers, as a token's is not.
    """
    ((log, _),) = results
    # The space between prompt and answer is part of the continuation that lm-eval scores.
    return {"correct": math.exp(log / len(f" {doc['worked']}".encode()))}


def is_equal(response: str, gold: str) -> bool:
    """Whether both are equal as numbers where both are numbers, else as text, case aside."""
    numbers = parse_number(response), parse_number(gold)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return _fold_case(response) == _fold_case(gold)


def parse_number(text: str) -> Fraction | None:
    """`$1,234.50`, `50%`, `3/4` and the like; None for anything else."""
    bare = re.sub(r"[\s,$%]|\\[$%!]", "", text).rstrip(".")
    # Not `Fraction(bare)` alone: it takes exponents, and 1e999999999 never ends.
    if not re.fullmatch(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})(/\d{1,40})?", bare):
        return None
    above, _, below = bare.partition("/")
    below = below or "1"
    return Fraction(above) / int(below) if int(below) else None


def _grade(response: str, gold: str, equal: Any) -> dict[str, float]:
    return {"correct": float(response != INVALID and equal(response, gold))}


def _fold_case(text: str) -> str:
    return " ".join(text.casefold().split())
