"""How many texts a run has to train on, before any of them is made."""

import json
from functools import lru_cache

from kvdistill.config.build import build_node
from kvdistill.config.compose import Config


def count_texts(config: Config) -> int:
    """Distinct texts of the student's half: its rows in every style.

    Where the split sets no cap the source is counted, before near copies are dropped.
    """
    split = build_node("data.split", config["data"]["split"])
    rows = split.max_student_rows
    if rows is None:
        share = split.ratios[0] / (2 if split.teacher_separate else 1)
        records = count_source_records(json.dumps(config["data"]["source"], sort_keys=True))
        rows = round(records * share)
    return int(rows) * len(config["style"]["templates"])


@lru_cache(maxsize=32)
def count_source_records(node: str) -> int:
    """Records of a source, whose node is given as JSON: a plan asks of many arms that share it."""
    return len(build_node("data.source", json.loads(node)).records())
