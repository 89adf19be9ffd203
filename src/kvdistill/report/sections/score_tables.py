"""The study's tables as grids: scores, differences, efficiency, budget, leakage, extraction."""

from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.records import MANY_EPOCHS
from kvdistill.report.format import DASH, format_interval, format_p, format_signed, title_tasks
from kvdistill.report.table import ReportTable, TableCell, mean_or_none
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.compare import Difference
from kvdistill.stats.equal_budget import TOLERANCE, checked, group, off, outliers, usual
from kvdistill.stats.seed_tests import LEGEND, OK, stars
from kvdistill.stats.study import MACRO, Arm, Study
from kvdistill.stats.summary import Cell, Table

TIE_MARK = "\u2248"


def tabulate_scores(table: Table, ties: Mapping[str, frozenset[str]], name: str) -> ReportTable:
    """Arms x tasks: mean and SD over seeds, the best marked, and what ties with it."""
    names = title_tasks(table.endpoints)
    best = {endpoint: table.best(endpoint) for endpoint in table.endpoints}
    rows = []
    for label, cells in table.rows.items():
        reference = label in table.references
        row = [TableCell(label, mark="faint" if reference else "")]
        for endpoint, cell in cells.items():
            row.append(
                make_score_cell(cell, label == best[endpoint], label in ties.get(endpoint, ()))
            )
        rows.append(row)
    return ReportTable(
        name=name,
        caption="Scores",
        columns=["arm", *(names[e] for e in table.endpoints)],
        rows=rows,
        note=(
            f"Percent, mean\u00b1SD over seeds; bold: best arm of the column; {TIE_MARK}: not "
            "distinguishable from it (recipe-level test, Holm within the column). Teachers are "
            "reference rows."
        ),
    )


def make_score_cell(cell: Cell, best: bool, tie: bool) -> TableCell:
    """One cell of the scores table."""
    finished_scores = ", ".join(f"{100 * value:.2f}" for value in cell.values)
    if cell.mean is None:
        missing = f"missing: {', '.join(cell.gaps)}"
        text = missing if len(missing) < 40 else f"{len(cell.gaps)} missing"
        return TableCell(text, None, "missing", f"{missing}. Finished: {finished_scores or 'none'}")
    mark = "best" if best else "tie" if tie else ""
    return TableCell(
        (f"{TIE_MARK} " if tie else "") + cell.text(),
        100 * cell.mean,
        mark,
        f"runs: {finished_scores}",
    )


def tabulate_differences(analysis: Analysis) -> ReportTable:
    """Each arm against the baseline on the macro average, with everything that was computed."""
    rows = [
        [TableCell(label), *difference(comparison.macro)]
        for label, comparison in analysis.comparisons.items()
    ]
    return ReportTable(
        name=f"{analysis.question.name}_differences",
        caption=f"Macro average: difference from {analysis.baseline}, in points",
        columns=[
            "arm", "difference", "recipe interval", "recipe p", "Holm", "paired t", "p", "Holm ",
            "unpaired p", "item interval", "g", "P(better)", "same sign", "detectable",
            "seeds needed", "seed share", "remarks",
        ],
        rows=rows,
        note=(
            f"{LEGEND}. Recipe: new seeds and new items, Satterthwaite. Item: these checkpoints on "
            "new items, bootstrap stratified by task and clustered by subject. Holm: over this "
            "question's arms. Detectable: with 80 % power at this noise."
        ),
        numeric=[False, *[True] * 15, False],
    )  # fmt: skip


def difference(one: Difference) -> list[TableCell]:
    """The cells of one comparison."""
    if one.estimate is None:
        named = TableCell(one.status, None, "missing", one.why)
        return [named, *[TableCell(DASH)] * 14, TableCell(one.why)]
    t = one.seeds if one.seeds and one.seeds.status == OK else None
    remarks = [
        text for text in (one.status if one.status != OK else "", one.why, *one.notes) if text
    ]
    recipe, item = one.recipe, one.item
    return [
        TableCell(format_signed(100 * one.estimate, 2), 100 * one.estimate),
        TableCell(format_interval(100 * recipe.low, 100 * recipe.high) if recipe else DASH),
        TableCell(format_p(recipe.p if recipe else None), recipe.p if recipe else None),
        adjusted(one, "recipe"),
        TableCell(
            f"{format_signed(t.t or 0, 2)} (df {t.df:.3g})" if t else DASH, t.t if t else None
        ),
        TableCell(f"{format_p(t.p)} {stars(t.p)}".strip() if t else DASH, t.p if t else None),
        adjusted(one, "seeds"),
        TableCell(format_p(one.unpaired.p if one.unpaired else None)),
        TableCell(format_interval(100 * item.low, 100 * item.high) if item and item.se else DASH),
        TableCell(format_signed(one.effect, 2) if one.effect is not None else DASH, one.effect),
        TableCell(
            f"{one.improvement:.2f}" if one.improvement is not None else DASH, one.improvement
        ),
        TableCell(f"{one.same_sign[0]}/{one.same_sign[1]}" if one.same_sign else DASH),
        TableCell(*format_or_dash(one.detectable, 100)),
        TableCell(str(one.seeds_needed) if one.seeds_needed else "more items", one.seeds_needed),
        TableCell(*format_or_dash(one.seed_share, 100, "%")),
        TableCell("; ".join(remarks)),
    ]


def adjusted(one: Difference, kind: str) -> TableCell:
    """An adjusted p value."""
    p = one.adjusted.get(kind)
    return TableCell(format_p(p), p)


def format_or_dash(
    value: float | None, factor: float | int = 1, unit: str = ""
) -> tuple[str, float | None]:
    """(text, sort) of a number or a gap."""
    if value is None:
        return DASH, None
    return f"{factor * value:.1f}{' ' + unit if unit else ''}", factor * value


def tabulate_task_differences(analysis: Analysis, tasks: Sequence[str]) -> ReportTable:
    """Exploratory: arms x tasks, difference with its interval; BH over all cells."""
    names = title_tasks([*tasks, MACRO])
    rows = []
    for label, comparison in analysis.comparisons.items():
        row = [TableCell(label)]
        for task in tasks:
            one = comparison.differences[task]
            if one.estimate is None:
                row.append(TableCell(one.status, None, "missing", one.why))
                continue
            claim = one.claim
            ends = (
                format_interval(100 * claim.low, 100 * claim.high)
                if claim and claim.se
                else one.status
            )
            p = one.adjusted.get("recipe")
            mark = "" if p is None or p >= 0.05 else "good" if one.estimate > 0 else "bad"
            title = f"{ends}; BH-adjusted p {format_p(p)}"
            row.append(
                TableCell(format_signed(100 * one.estimate), 100 * one.estimate, mark, title)
            )
        rows.append(row)
    return ReportTable(
        name=f"{analysis.question.name}_cells",
        caption=f"Per task: difference from {analysis.baseline}, in points (exploratory)",
        columns=["arm", *(names[task] for task in tasks)],
        rows=rows,
        note=(
            "Coloured where the Benjamini-Hochberg adjusted recipe-level p is below .05; the "
            "interval is under the pointer."
        ),
    )


RELATIVE_TO_RAW = {"parameters": "parameters, % of raw", "tokens_per_second": "tokens/s, % of raw"}
"""What must equal the raw student's (STUDY.md E)."""


def tabulate_efficiency(arms: Mapping[str, Arm]) -> ReportTable:
    """What was measured beside the scores, mean over seeds; size and speed against the raw."""
    keys: dict[str, None] = {}
    for arm in arms.values():
        for run in arm.unique():
            keys |= {k: None for k, v in run.efficiency.items() if isinstance(v, int | float)}
    raw = next(
        (a for a in arms.values() if any(r.arm == RAW_STUDENT for r in a.runs.values())), None
    )
    against = [key for key in RELATIVE_TO_RAW if raw is not None and average_efficiency(raw, key)]
    rows = []
    for label, arm in arms.items():
        row = [TableCell(label)]
        for key in keys:
            mean = average_efficiency(arm, key)
            row.append(TableCell(DASH) if mean is None else TableCell(format_large(mean), mean))
        for key in against:
            mean, whole = (
                average_efficiency(arm, key),
                average_efficiency(raw, key) if raw else None,
            )
            share = 100 * mean / whole if mean is not None and whole else None
            row.append(TableCell(DASH) if share is None else TableCell(f"{share:.1f}", share))
        rows.append(row)
    columns = ["arm", *keys, *(RELATIVE_TO_RAW[key] for key in against)]
    note = "Against the raw student: a trained one must have its size and its speed."
    return ReportTable(
        "efficiency", "Efficiency, mean over seeds", columns, rows, note if against else ""
    )


RAW_STUDENT = "raw_student"


def average_efficiency(arm: Arm, key: str) -> float | None:
    """Mean over the arm's distinct runs; None where one lacks it."""
    values = [run.efficiency.get(key) for run in arm.unique()]
    return mean_or_none([value if isinstance(value, int | float) else None for value in values])


def format_large(value: float) -> str:
    """Four digits, or all of a large number."""
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def tabulate_budgets(study: Study) -> ReportTable:
    """Planned and done, all arms; red where one is not what the others trained (STUDY.md A1)."""
    nodes = [node for one in study.budgets for node in one.get("arms", [])]
    named = ("label", "run", "texts")
    keys = [k for k in dict.fromkeys(k for node in nodes for k in node) if k not in named]
    trained = [node for node in nodes if node.get("steps")]
    each = [(node.get("seed", -1), node) for node in trained]
    normal = {key: usual(key, each) for key in TOLERANCE}
    rows = [
        [
            TableCell(str(node.get("label", "?"))),
            *(
                TableCell(
                    format_json_value(node.get(key)),
                    float(node[key]) if isinstance(node.get(key), int | float) else None,
                    "bad" if node in trained and is_unequal(node, key, normal) else "",
                )
                for key in keys
            ),
        ]
        for node in nodes
    ]
    return ReportTable("budget", "Budget of every arm", ["arm", *keys], rows)


def is_unequal(
    node: Mapping[str, Any], key: str, normal: Mapping[str, Mapping[Any, float | int]]
) -> bool:
    """Whether a trained run's amount is not that of the others, or its texts come too often."""
    if key == "epochs":
        return bool((node.get(key) or 0) > MANY_EPOCHS)
    if key not in TOLERANCE or key not in node:
        return False
    expected = normal[key][group(key, node.get("seed", -1), node)]
    return off(node[key], expected, TOLERANCE[key])


def format_json_value(value: Any) -> str:
    """A JSON value for reading."""
    if isinstance(value, bool) or value is None:
        return DASH if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def check_budget_parity(study: Study) -> tuple[bool | None, str]:
    """(whether every trained arm has the same budget, in words); None without data."""
    trained = checked(study)
    if len(trained) < 2:
        return None, "fewer than two trained runs with a budget on record: nothing to compare"
    wrong = outliers(study)
    if wrong:
        return False, f"{'; '.join(wrong)}. Such an arm is compared with no other"
    sets = len({run.budget.get("texts") for run in trained})
    read = "" if sets == 1 else f" of those who read the same of {sets} sets of texts"
    within = f"steps are equal, texts within 1 %, real tokens{read} within 1 %"
    return True, f"{within}, over {len(trained)} runs"


def tabulate_leakage(study: Study) -> ReportTable:
    """Every pair of sets that was compared."""
    rows = []
    for name, report in study.validations.items():
        for pair in report.get("pairs", []):
            ends = [str(pair[key]) for key in ("first", "second", "pair") if key in pair]
            sets = " \u2229 ".join(ends)
            verdict = str(pair.get("verdict", ""))
            rows.append(
                [
                    TableCell(name),
                    TableCell(sets),
                    TableCell(str(pair.get("method", ""))),
                    TableCell(format_json_value(pair.get("checked", pair.get("n_checked")))),
                    TableCell(
                        format_json_value(pair.get("hits", pair.get("n_hits"))),
                        pair.get("hits", pair.get("n_hits")),
                    ),
                    TableCell("refuses" if pair.get("blocking") else "reports"),
                    TableCell(verdict, None, "bad" if verdict == "leak" else ""),
                ]
            )
    columns = ["study", "sets", "method", "checked", "shared", "a hit", "verdict"]
    return ReportTable(
        "leakage",
        "Shared items between sets",
        columns,
        rows,
        numeric=[False, False, False, True, True, False, False],
    )
