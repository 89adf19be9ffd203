"""From the answer a model gave to right or wrong: the `process_results` of the task files.

Each takes lm-eval's document (`target` is the gold answer) and the one filtered output, and returns
`{"correct": 0.0 or 1.0}`; an output without an answer is wrong, whatever the gold one.
"""

import math
from collections.abc import Callable, Sequence

from kvdistill.evaluate.grading import math_equivalence
from kvdistill.evaluate.grading.bbh import match_bbh_answer
from kvdistill.evaluate.grading.extract import INVALID, Doc
from kvdistill.evaluate.grading.numbers import is_bare_number, parse_number


def grade_exact(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """Equal as numbers where both are numbers, else as text, case and spaces aside."""
    return _grade(results[0], doc["target"], is_equal)


def grade_bbh(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """Equal as an answer of BBH, in the form in which `filters.bbh_answer` gives it."""
    question = doc.get("input", "")
    return _grade(results[0], doc["target"], lambda r, gold: match_bbh_answer(r, gold, question))


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
    """Whether both are equal: as numbers where the gold one is one, else as text, case aside."""
    if is_bare_number(gold):
        return parse_number(response) == parse_number(gold)
    return _fold_case(response) == _fold_case(gold)


def _grade(response: str, gold: str, equal: Callable[[str, str], bool]) -> dict[str, float]:
    return {"correct": float(response != INVALID and equal(response, gold))}


def _fold_case(text: str) -> str:
    return " ".join(text.casefold().split())
