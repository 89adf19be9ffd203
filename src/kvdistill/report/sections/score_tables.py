"""The study's tables as grids: scores, differences, efficiency, budget, leakage, extraction."""

from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.records import MANY_EPOCHS
from kvdistill.report.format import DASH, p_text, signed, span, task_names
from kvdistill.report.table import Grid, Value, mean_of
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.compare import Difference
from kvdistill.stats.equal_budget import TOLERANCE, checked, group, off, outliers, usual
from kvdistill.stats.seed_tests import LEGEND, OK, stars
from kvdistill.stats.study import MACRO, Arm, Study
from kvdistill.stats.summary import Cell, Table

TIE = "\u2248"


def scores(table: Table, ties: Mapping[str, frozenset[str]], name: str) -> Grid:
    """Arms x tasks: mean and SD over seeds, the best marked, and what ties with it."""
    names = task_names(table.endpoints)
    best = {endpoint: table.best(endpoint) for endpoint in table.endpoints}
    rows = []
    for label, cells in table.rows.items():
        reference = label in table.references
        row = [Value(label, mark="faint" if reference else "")]
        for endpoint, cell in cells.items():
            row.append(score(cell, label == best[endpoint], label in ties.get(endpoint, ())))
        rows.append(row)
    return Grid(
        name=name,
        caption="Scores",
        columns=["arm", *(names[e] for e in table.endpoints)],
        rows=rows,
        note=(
            f"Percent, mean\u00b1SD over seeds; bold: best arm of the column; {TIE}: not "
            "distinguishable from it (recipe-level test, Holm within the column). Teachers are "
            "reference rows."
        ),
    )


def score(cell: Cell, best: bool, tie: bool) -> Value:
    """One cell of the scores table."""
    each = ", ".join(f"{100 * value:.2f}" for value in cell.values)
    if cell.mean is None:
        lost = f"missing: {', '.join(cell.gaps)}"
        text = lost if len(lost) < 40 else f"{len(cell.gaps)} missing"
        return Value(text, None, "missing", f"{lost}. Finished: {each or 'none'}")
    mark = "best" if best else "tie" if tie else ""
    return Value((f"{TIE} " if tie else "") + cell.text(), 100 * cell.mean, mark, f"runs: {each}")


def differences(analysis: Analysis) -> Grid:
    """Each arm against the baseline on the macro average, with everything that was computed."""
    rows = [
        [Value(label), *difference(comparison.macro)]
        for label, comparison in analysis.comparisons.items()
    ]
    return Grid(
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


def difference(one: Difference) -> list[Value]:
    """The cells of one comparison."""
    if one.estimate is None:
        named = Value(one.status, None, "missing", one.why)
        return [named, *[Value(DASH)] * 14, Value(one.why)]
    t = one.seeds if one.seeds and one.seeds.status == OK else None
    remarks = [
        text for text in (one.status if one.status != OK else "", one.why, *one.notes) if text
    ]
    recipe, item = one.recipe, one.item
    return [
        Value(signed(100 * one.estimate, 2), 100 * one.estimate),
        Value(span(100 * recipe.low, 100 * recipe.high) if recipe else DASH),
        Value(p_text(recipe.p if recipe else None), recipe.p if recipe else None),
        adjusted(one, "recipe"),
        Value(f"{signed(t.t or 0, 2)} (df {t.df:.3g})" if t else DASH, t.t if t else None),
        Value(f"{p_text(t.p)} {stars(t.p)}".strip() if t else DASH, t.p if t else None),
        adjusted(one, "seeds"),
        Value(p_text(one.unpaired.p if one.unpaired else None)),
        Value(span(100 * item.low, 100 * item.high) if item and item.se else DASH),
        Value(signed(one.effect, 2) if one.effect is not None else DASH, one.effect),
        Value(f"{one.improvement:.2f}" if one.improvement is not None else DASH, one.improvement),
        Value(f"{one.same_sign[0]}/{one.same_sign[1]}" if one.same_sign else DASH),
        Value(*number(one.detectable, 100)),
        Value(str(one.seeds_needed) if one.seeds_needed else "more items", one.seeds_needed),
        Value(*number(one.seed_share, 100, "%")),
        Value("; ".join(remarks)),
    ]


def adjusted(one: Difference, kind: str) -> Value:
    """An adjusted p value."""
    p = one.adjusted.get(kind)
    return Value(p_text(p), p)


def number(
    value: float | None, factor: float | int = 1, unit: str = ""
) -> tuple[str, float | None]:
    """(text, sort) of a number or a gap."""
    if value is None:
        return DASH, None
    return f"{factor * value:.1f}{' ' + unit if unit else ''}", factor * value


def cells(analysis: Analysis, tasks: Sequence[str]) -> Grid:
    """Exploratory: arms x tasks, difference with its interval; BH over all cells."""
    names = task_names([*tasks, MACRO])
    rows = []
    for label, comparison in analysis.comparisons.items():
        row = [Value(label)]
        for task in tasks:
            one = comparison.differences[task]
            if one.estimate is None:
                row.append(Value(one.status, None, "missing", one.why))
                continue
            claim = one.claim
            ends = span(100 * claim.low, 100 * claim.high) if claim and claim.se else one.status
            p = one.adjusted.get("recipe")
            mark = "" if p is None or p >= 0.05 else "good" if one.estimate > 0 else "bad"
            title = f"{ends}; BH-adjusted p {p_text(p)}"
            row.append(Value(signed(100 * one.estimate), 100 * one.estimate, mark, title))
        rows.append(row)
    return Grid(
        name=f"{analysis.question.name}_cells",
        caption=f"Per task: difference from {analysis.baseline}, in points (exploratory)",
        columns=["arm", *(names[task] for task in tasks)],
        rows=rows,
        note=(
            "Coloured where the Benjamini-Hochberg adjusted recipe-level p is below .05; the "
            "interval is under the pointer."
        ),
    )


RELATIVE = {"parameters": "parameters, % of raw", "tokens_per_second": "tokens/s, % of raw"}
"""What must equal the raw student's (STUDY.md E)."""


def efficiency(arms: Mapping[str, Arm]) -> Grid:
    """What was measured beside the scores, mean over seeds; size and speed against the raw."""
    keys: dict[str, None] = {}
    for arm in arms.values():
        for run in arm.unique():
            keys |= {k: None for k, v in run.efficiency.items() if isinstance(v, int | float)}
    raw = next((a for a in arms.values() if any(r.arm == RAW for r in a.runs.values())), None)
    against = [key for key in RELATIVE if raw is not None and measured(raw, key)]
    rows = []
    for label, arm in arms.items():
        row = [Value(label)]
        for key in keys:
            mean = measured(arm, key)
            row.append(Value(DASH) if mean is None else Value(large(mean), mean))
        for key in against:
            mean, whole = measured(arm, key), measured(raw, key) if raw else None
            share = 100 * mean / whole if mean is not None and whole else None
            row.append(Value(DASH) if share is None else Value(f"{share:.1f}", share))
        rows.append(row)
    columns = ["arm", *keys, *(RELATIVE[key] for key in against)]
    note = "Against the raw student: a trained one must have its size and its speed."
    return Grid("efficiency", "Efficiency, mean over seeds", columns, rows, note if against else "")


RAW = "raw_student"


def measured(arm: Arm, key: str) -> float | None:
    """Mean over the arm's distinct runs; None where one lacks it."""
    found = [run.efficiency.get(key) for run in arm.unique()]
    return mean_of([value if isinstance(value, int | float) else None for value in found])


def large(value: float) -> str:
    """Four digits, or all of a large number."""
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def budget(study: Study) -> Grid:
    """Planned and done, all arms; red where one is not what the others trained (STUDY.md A1)."""
    nodes = [node for one in study.budgets for node in one.get("arms", [])]
    named = ("label", "run", "texts")
    keys = [k for k in dict.fromkeys(k for node in nodes for k in node) if k not in named]
    trained = [node for node in nodes if node.get("steps")]
    each = [(node.get("seed", -1), node) for node in trained]
    normal = {key: usual(key, each) for key in TOLERANCE}
    rows = [
        [
            Value(str(node.get("label", "?"))),
            *(
                Value(
                    plain(node.get(key)),
                    float(node[key]) if isinstance(node.get(key), int | float) else None,
                    "bad" if node in trained and strange(node, key, normal) else "",
                )
                for key in keys
            ),
        ]
        for node in nodes
    ]
    return Grid("budget", "Budget of every arm", ["arm", *keys], rows)


def strange(
    node: Mapping[str, Any], key: str, normal: Mapping[str, Mapping[Any, float | int]]
) -> bool:
    """Whether a trained run's amount is not that of the others, or its texts come too often."""
    if key == "epochs":
        return bool((node.get(key) or 0) > MANY_EPOCHS)
    if key not in TOLERANCE or key not in node:
        return False
    wanted = normal[key][group(key, node.get("seed", -1), node)]
    return off(node[key], wanted, TOLERANCE[key])


def plain(value: Any) -> str:
    """A JSON value for reading."""
    if isinstance(value, bool) or value is None:
        return DASH if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def parity(study: Study) -> tuple[bool | None, str]:
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


def leakage(study: Study) -> Grid:
    """Every pair of sets that was compared."""
    rows = []
    for name, report in study.validations.items():
        for pair in report.get("pairs", []):
            ends = [str(pair[key]) for key in ("first", "second", "pair") if key in pair]
            sets = " \u2229 ".join(ends)
            verdict = str(pair.get("verdict", ""))
            rows.append(
                [
                    Value(name),
                    Value(sets),
                    Value(str(pair.get("method", ""))),
                    Value(plain(pair.get("checked", pair.get("n_checked")))),
                    Value(
                        plain(pair.get("hits", pair.get("n_hits"))),
                        pair.get("hits", pair.get("n_hits")),
                    ),
                    Value("refuses" if pair.get("blocking") else "reports"),
                    Value(verdict, None, "bad" if verdict == "leak" else ""),
                ]
            )
    columns = ["study", "sets", "method", "checked", "shared", "a hit", "verdict"]
    return Grid(
        "leakage",
        "Shared items between sets",
        columns,
        rows,
        numeric=[False, False, False, True, True, False, False],
    )
