"""Which sets of items were compared with each other, and what they share."""

from collections.abc import Iterator, Mapping
from typing import Any

from kvdistill.data.leakage import UNSEEN
from kvdistill.report.format import format_json_value
from kvdistill.report.page_data import LeakVerdict
from kvdistill.report.table import ReportTable, TableCell
from kvdistill.stats.study import Study


def judge_leakage(study: Study) -> list[LeakVerdict]:
    """A verdict a validation report, saying what the tables below it say."""
    return [judge_report(name, report) for name, report in study.validations.items()]


def judge_report(study: str, report: Mapping[str, Any]) -> LeakVerdict:
    """The verdict of one report."""
    word = str(report.get("verdict", "unknown"))
    scored = {
        name: facts["rows"]
        for name, facts in report.get("sets", {}).items()
        if facts.get("role") in ("drawn", "task")
    }
    tainted = sum(len(report.get("tainted", {}).get(name, ())) for name in scored)
    missing = report.get("missing") or {}
    if word == "clean" and tainted:
        word = "tainted"
    elif word == "clean" and missing:
        word = "unchecked"
    return LeakVerdict(study, word, list(describe_report(report, tainted, sum(scored.values()))))


def describe_report(report: Mapping[str, Any], tainted: int, items: int) -> Iterator[str]:
    """Items found in training, items that differ in numbers alone, and what was not looked at."""
    if items:
        yield (
            f"{tainted} of {items} scored items were found in training texts; the average on the "
            "others stands beside the average."
        )
    templates = sum(
        pair.get("hits") or 0
        for pair in report.get("pairs", [])
        if pair.get("method") == "template"
        and report.get("sets", {}).get(pair.get("first"), {}).get("role") == "train"
        and report.get("sets", {}).get(pair.get("second"), {}).get("role") in ("drawn", "task")
    )
    if templates:
        yield f"{templates} pairs of a training row and a scored item differ in numbers alone."
    for task, why in (report.get("missing") or {}).items():
        yield f"{task} was not checked: {why}"
    yield f"No method sees: {', '.join(UNSEEN)}."


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
