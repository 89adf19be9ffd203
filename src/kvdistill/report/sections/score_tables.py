"""A question's scores and its differences from the baseline, as tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kvdistill.report.format import (
    CLEAN_TITLE,
    format_interval,
    format_p,
    format_signed,
    title_tasks,
)
from kvdistill.report.table import DASH, ReportTable, TableCell, make_number_cell
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.arm_differences import UNDECLARED, describe_contrast
from kvdistill.stats.bootstrap import ConfidenceInterval
from kvdistill.stats.compare import ArmComparison, Difference
from kvdistill.stats.power import MAX_SEEDS
from kvdistill.stats.seed_tests import OK, STARS_LEGEND, TTest, format_stars
from kvdistill.stats.study import MACRO
from kvdistill.stats.summary import Cell, Table

TIE_MARK = "\u2248"


def tabulate_scores(table: Table, ties: Mapping[str, frozenset[str]], name: str) -> ReportTable:
    """Arms x endpoints: mean and SD over seeds in percent.

    Marked are the best arm of each column and, by `ties` (endpoint -> arms), what ties with it.
    """
    names = title_tasks(table.endpoints)
    best = {endpoint: table.best(endpoint) for endpoint in table.endpoints}
    rows = []
    for label, cells in table.rows.items():
        row = [TableCell(label, mark="faint" if label in table.references else "")]
        for endpoint, cell in cells.items():
            tie = label in ties.get(endpoint, ())
            row.append(make_score_cell(cell, label == best[endpoint], tie))
        row += [make_score_cell(table.clean[label], False, False)] if table.clean else []
        rows.append(row)
    clean_note = f" {CLEAN_TITLE.capitalize()}: the average over items found in no training text."
    return ReportTable(
        name=name,
        caption="Scores",
        columns=["arm", *(names[e] for e in table.endpoints), *([CLEAN_TITLE] * bool(table.clean))],
        rows=rows,
        note=(
            f"Percent, mean\u00b1SD over seeds; bold: best arm of the column; {TIE_MARK}: not "
            "distinguishable from it (recipe-level test, Holm within the column). Teachers are "
            f"reference rows.{clean_note if table.clean else ''}"
        ),
    )


def make_score_cell(cell: Cell, best: bool, tie: bool) -> TableCell:
    """A score, or what it lacks; the single runs' scores are shown on hover."""
    scores = ", ".join(f"{100 * value:.2f}" for value in cell.values)
    if cell.mean is None:
        missing = f"missing: {', '.join(cell.gaps)}"
        text = missing if len(missing) < 40 else f"{len(cell.gaps)} missing"
        return TableCell(text, None, "missing", f"{missing}. Finished: {scores or 'none'}")
    mark = "best" if best else "tie" if tie else ""
    text = (f"{TIE_MARK} " if tie else "") + cell.text()
    return TableCell(text, 100 * cell.mean, mark, f"runs: {scores}")


@dataclass(frozen=True)
class DifferenceColumn:
    """A column of the differences table: its title and how a difference fills it."""

    title: str
    make_cell: Callable[[Difference], TableCell]
    """Called only where the difference has an estimate."""
    numeric: bool = True


def make_points_cell(share: float | None, form: Callable[[float | int], str]) -> TableCell:
    """A share in points; a dash where there is none."""
    return make_number_cell(None if share is None else 100 * share, form)


def make_p_cell(p: float | None) -> TableCell:
    """A p value; a dash where there was no test."""
    return TableCell(format_p(p), p)


def make_interval_cell(interval: ConfidenceInterval | None) -> TableCell:
    """The ends in points."""
    if interval is None:
        return TableCell(DASH)
    return TableCell(format_interval(100 * interval.low, 100 * interval.high))


def make_item_interval_cell(difference: Difference) -> TableCell:
    """The interval over items; a dash where no item differs, so that there is no error."""
    return make_interval_cell(difference.item if difference.item and difference.item.se else None)


def make_adjusted_p_cell(difference: Difference, kind: str) -> TableCell:
    """The p value of `seeds` or `recipe` after the correction within its family."""
    return make_p_cell(difference.adjusted.get(kind))


def get_seed_test(difference: Difference) -> TTest | None:
    """The t test over seeds, where its result may be shown."""
    return difference.seeds if difference.seeds and difference.seeds.status == OK else None


def make_t_cell(difference: Difference) -> TableCell:
    """Student's t of the seeds and its degrees of freedom."""
    test = get_seed_test(difference)
    if test is None:
        return TableCell(DASH)
    return TableCell(f"{format_signed(test.t or 0, 2)} (df {test.df:.3g})", test.t)


def make_starred_p_cell(difference: Difference) -> TableCell:
    """The p value that stars are given by, with them."""
    p = difference.adjusted.get("stars")
    return TableCell(f"{format_p(p)} {format_stars(p)}".strip(), p)


def make_seed_p_cell(difference: Difference) -> TableCell:
    """The p value of the t test over seeds, as the study has it."""
    test = get_seed_test(difference)
    return make_p_cell(test.p if test else None)


def make_same_sign_cell(difference: Difference) -> TableCell:
    """How many pairs of seeds have the sign of the estimate."""
    same = difference.same_sign
    return TableCell(f"{same[0]}/{same[1]}" if same else DASH)


def make_seeds_needed_cell(difference: Difference) -> TableCell:
    """Seeds that find the wanted difference, or how many times the items it takes first."""
    needed, items = difference.seeds_needed, difference.items_needed
    if needed is None and items is not None:
        return TableCell(f"{items:.1f} x the items" if items > 1 else f"over {MAX_SEEDS}")
    return TableCell(DASH if needed is None else str(needed), needed)


def make_remarks_cell(difference: Difference) -> TableCell:
    """Why a test is missing, and the notes of the comparison."""
    status = difference.status if difference.status != OK else ""
    remarks = (status, difference.why, *difference.notes)
    return TableCell("; ".join(remark for remark in remarks if remark))


DIFFERENCE_COLUMNS = (
    DifferenceColumn(
        "difference", lambda d: make_points_cell(d.estimate, lambda x: format_signed(x, 2))
    ),
    DifferenceColumn("recipe interval", lambda d: make_interval_cell(d.recipe)),
    DifferenceColumn("recipe p", lambda d: make_p_cell(d.recipe.p if d.recipe else None)),
    DifferenceColumn("Holm", lambda d: make_adjusted_p_cell(d, "recipe")),
    DifferenceColumn("paired t", make_t_cell),
    DifferenceColumn("p", make_seed_p_cell),
    # A space keeps the second column of that title apart as a key in the CSV; the page trims it.
    DifferenceColumn("Holm ", lambda d: make_adjusted_p_cell(d, "seeds")),
    DifferenceColumn(
        "unpaired p", lambda d: TableCell(format_p(d.unpaired.p if d.unpaired else None))
    ),
    DifferenceColumn("starred p", make_starred_p_cell),
    DifferenceColumn("item interval", make_item_interval_cell),
    DifferenceColumn("g", lambda d: make_number_cell(d.effect, lambda x: format_signed(x, 2))),
    DifferenceColumn("P(better)", lambda d: make_number_cell(d.improvement, "{:.2f}".format)),
    DifferenceColumn("same sign", make_same_sign_cell),
    DifferenceColumn("detectable", lambda d: make_points_cell(d.detectable, "{:.1f}".format)),
    DifferenceColumn("seeds needed", make_seeds_needed_cell),
    DifferenceColumn("seed share", lambda d: make_points_cell(d.seed_share, "{:.1f} %".format)),
    DifferenceColumn("remarks", make_remarks_cell, numeric=False),
)


def tabulate_differences(analysis: Analysis) -> ReportTable:
    """Each arm against the baseline on the macro average, with everything that was computed."""
    rows = [
        [
            TableCell(label), *make_difference_cells(comparison.macro),
            make_contrast_cell(comparison),
        ]
        for label, comparison in analysis.comparisons.items()
    ]  # fmt: skip
    return ReportTable(
        name=f"{analysis.question.name}_differences",
        caption=f"Macro average: difference from {analysis.baseline}, in points",
        columns=["arm", *(column.title for column in DIFFERENCE_COLUMNS), "differs in"],
        rows=rows,
        note=(
            f"{STARS_LEGEND}. Recipe: new seeds and new items, Satterthwaite. Item: these "
            "checkpoints on new items, bootstrap stratified by task and clustered by subject. "
            "Holm: over this question's arms. Detectable: with 80 % power at this noise. Seeds "
            "needed: what seeds scatter, runs' own luck with items included, shrinks with them; "
            "the items' own part does not."
        ),
        numeric=[False, *(column.numeric for column in DIFFERENCE_COLUMNS), False],
    )


def make_contrast_cell(comparison: ArmComparison) -> TableCell:
    """What differs between the arm and the baseline beside the seeds; red where it may not."""
    mark = "bad" if comparison.macro.status == UNDECLARED else ""
    return TableCell(describe_contrast(comparison.contrast), mark=mark)


def make_difference_cells(difference: Difference) -> list[TableCell]:
    """A cell a column; without an estimate the first names the reason and the last explains it."""
    if difference.estimate is None:
        status = TableCell(difference.status, None, "missing", difference.why)
        dashes = [TableCell(DASH)] * (len(DIFFERENCE_COLUMNS) - 2)
        return [status, *dashes, TableCell(difference.why)]
    return [column.make_cell(difference) for column in DIFFERENCE_COLUMNS]


def tabulate_task_differences(analysis: Analysis, tasks: Sequence[str]) -> ReportTable:
    """Exploratory: arms x tasks, differences coloured by p values that BH corrects over all."""
    names = title_tasks([*tasks, MACRO])
    rows = [
        [
            TableCell(label),
            *(make_task_difference_cell(comparison.differences[task]) for task in tasks),
        ]
        for label, comparison in analysis.comparisons.items()
    ]
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


def make_task_difference_cell(difference: Difference) -> TableCell:
    """The difference in points; its interval and p value are shown on hover."""
    if difference.estimate is None:
        return TableCell(difference.status, None, "missing", difference.why)
    claim = difference.claim
    # Without an error over items the interval has no width: the status says why.
    has_width = claim is not None and claim.se
    ends = make_interval_cell(claim).text if has_width else difference.status
    p = difference.adjusted.get("recipe")
    mark = "" if p is None or p >= 0.05 else "good" if difference.estimate > 0 else "bad"
    points = 100 * difference.estimate
    return TableCell(format_signed(points), points, mark, f"{ends}; BH-adjusted p {format_p(p)}")
