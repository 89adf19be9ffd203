"""Which sets of items were compared with each other, and what they share."""

from collections.abc import Mapping
from typing import Any

from kvdistill.report.format import format_json_value
from kvdistill.report.table import ReportTable, TableCell
from kvdistill.stats.study import Study


def tabulate_leakage(study: Study) -> ReportTable:
    """A row a pair of sets of each study's validation report."""
    rows = [
        make_leakage_row(name, pair)
        for name, report in study.validations.items()
        for pair in report.get("pairs", [])
    ]
    return ReportTable(
        "leakage",
        "Shared items between sets",
        ["study", "sets", "method", "checked", "shared", "a hit", "verdict"],
        rows,
        numeric=[False, False, False, True, True, False, False],
    )


def make_leakage_row(study: str, pair: Mapping[str, Any]) -> list[TableCell]:
    """One pair of sets: how it was compared, the items that both hold, and what follows."""
    sets = " \u2229 ".join(str(pair[key]) for key in ("first", "second", "pair") if key in pair)
    hits = pair.get("hits", pair.get("n_hits"))
    verdict = str(pair.get("verdict", ""))
    return [
        TableCell(study),
        TableCell(sets),
        TableCell(str(pair.get("method", ""))),
        TableCell(format_json_value(pair.get("checked", pair.get("n_checked")))),
        TableCell(format_json_value(hits), hits),
        TableCell("refuses" if pair.get("blocking") else "reports"),
        TableCell(verdict, None, "bad" if verdict == "leak" else ""),
    ]
