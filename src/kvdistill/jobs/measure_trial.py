"""What a training said of the validation texts at its end: all that a trial is judged by."""

import json
from pathlib import Path

from kvdistill.errors import UserError

VALIDATION_ROWS = "val.jsonl"
"""The part of the split that the curves are drawn from, and no other part."""
JUDGED_BY = ("ce", "exact_match")
"""Mean cross-entropy of an answer token; share of texts whose answer tokens are all predicted."""


def read_last_validation(curves: Path) -> dict[str, float | int]:
    """ce, exact_match and step of the last validation line. Raises UserError where there is none.

    Args:
        curves: the run's curves.jsonl.
    """
    for text in reversed(curves.read_text(encoding="utf-8").splitlines()):
        line = json.loads(text)
        if line["split"] == "val" and all(name in line for name in JUDGED_BY):
            return {"step": line["step"]} | {name: float(line[name]) for name in JUDGED_BY}
    raise UserError(f"{curves} has no validation: set train.eval_steps, and train it again.")
