"""What each arm trained on and what it cost, and whether the arms may be compared."""

from collections.abc import Mapping
from typing import Any

from kvdistill.records import MANY_EPOCHS
from kvdistill.report.format import format_json_value
from kvdistill.report.page_data import BudgetParity
from kvdistill.report.table import ReportTable, TableCell, make_number_cell, mean_or_none
from kvdistill.stats.equal_budget import (
    TOLERANCE_BY_KEY,
    exceeds_tolerance,
    get_budget_group,
    list_budget_outliers,
    list_other_views,
    list_runs_with_ledger,
    median_by_group,
)
from kvdistill.stats.study import Arm, Study

RAW_STUDENT = "raw_student"
RELATIVE_TO_RAW = {
    "parameters": "parameters, % of raw", "tokens_per_second": "tokens/s, % of raw",
}  # fmt: skip
"""What must equal the raw student's: distillation may change neither size nor speed."""


def tabulate_efficiency(arms: Mapping[str, Arm]) -> ReportTable:
    """What was measured besides the scores, mean over seeds; size and speed relative to the raw."""
    keys: dict[str, None] = {}
    for arm in arms.values():
        for run in arm.distinct_runs():
            keys |= {k: None for k, v in run.efficiency.items() if isinstance(v, int | float)}
    raw = next(
        (arm for arm in arms.values() if any(r.arm == RAW_STUDENT for r in arm.runs.values())), None
    )
    raw_means = {key: average_efficiency(raw, key) for key in RELATIVE_TO_RAW} if raw else {}
    raw_means = {key: mean for key, mean in raw_means.items() if mean}
    rows = []
    for label, arm in arms.items():
        row = [TableCell(label)]
        row += [make_number_cell(average_efficiency(arm, key), format_large) for key in keys]
        for key, raw_mean in raw_means.items():
            mean = average_efficiency(arm, key)
            percent = 100 * mean / raw_mean if mean is not None and raw_mean else None
            row.append(make_number_cell(percent, "{:.1f}".format))
        rows.append(row)
    columns = ["arm", *keys, *(RELATIVE_TO_RAW[key] for key in raw_means)]
    note = "Against the raw student: a trained one must have its size and its speed."
    return ReportTable(
        "efficiency", "Efficiency, mean over seeds", columns, rows, note if raw_means else ""
    )


def average_efficiency(arm: Arm, key: str) -> float | None:
    """Mean over the arm's distinct runs; None where one lacks the key."""
    values = [run.efficiency.get(key) for run in arm.distinct_runs()]
    return mean_or_none([value if isinstance(value, int | float) else None for value in values])


def format_large(value: float) -> str:
    """Four digits, or all of a large number."""
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def tabulate_budgets(study: Study) -> ReportTable:
    """A row a run of budget.json; red where an amount is not what comparable runs trained with."""
    nodes = [node for budget in study.budgets for node in budget.get("arms", [])]
    labels = ("label", "run", "texts")
    # Of all runs, in order: an untrained one has fewer.
    keys = [k for k in dict.fromkeys(k for node in nodes for k in node) if k not in labels]
    own = [node for node in nodes if node.get("steps") and not node.get("matched")]
    trained = [(node.get("seed", -1), node) for node in own]
    expected = {key: median_by_group(key, trained) for key in TOLERANCE_BY_KEY}
    rows = [
        [
            TableCell(str(node.get("label", "?"))),
            *(make_amount_cell(node, key, expected) for key in keys),
        ]
        for node in nodes
    ]
    return ReportTable("budget", "Budget of every arm", ["arm", *keys], rows)


def make_amount_cell(
    node: Mapping[str, Any], key: str, expected: Mapping[str, Mapping[Any, float | int]]
) -> TableCell:
    """An amount of a run. An untrained run spends nothing, which is no deviation."""
    amount = node.get(key)
    # A run with the FLOPs of another arm has as many steps as it needs.
    held = bool(node.get("steps")) and (not node.get("matched") or key == "epochs")
    is_bad = held and is_unequal(node, key, expected)
    return TableCell(
        format_json_value(amount),
        float(amount) if isinstance(amount, int | float) else None,
        "bad" if is_bad else "",
    )


def is_unequal(
    node: Mapping[str, Any], key: str, expected: Mapping[str, Mapping[Any, float | int]]
) -> bool:
    """Whether a trained run's amount is not that of its group, or it read its texts too often.

    `expected` holds, for each key of TOLERANCE, the usual amount of a group: the runs of one seed,
    or of one seed and set of texts, where the amount depends on them.
    """
    if key == "epochs":
        return bool((node.get(key) or 0) > MANY_EPOCHS)
    if key not in TOLERANCE_BY_KEY or key not in node:
        return False
    amount = expected[key][get_budget_group(key, node.get("seed", -1), node)]
    return exceeds_tolerance(node[key], amount, TOLERANCE_BY_KEY[key])


def check_budget_parity(study: Study) -> BudgetParity:
    """Whether every trained arm has the same budget; unknown with fewer than two on record."""
    trained = list_runs_with_ledger(study)
    if len(trained) < 2:
        return BudgetParity(
            None, "fewer than two trained runs with a budget on record: nothing to compare"
        )
    deviations = list_budget_outliers(study)
    if deviations:
        return BudgetParity(
            False, f"{'; '.join(deviations)}. Such an arm is compared with no other"
        )
    sets = len({run.budget.get("texts") for run in trained})
    same_texts = "" if sets == 1 else f" of those who read the same of {sets} sets of texts"
    within = f"steps are equal, texts within 1 %, real tokens{same_texts} within 1 %"
    others = len(list_other_views(study))
    also = f"; {others} arm{'s' if others > 1 else ''} equal in another view" if others else ""
    return BudgetParity(True, f"{within}, over {len(trained)} runs{also}")
