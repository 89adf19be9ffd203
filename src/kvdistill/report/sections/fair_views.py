"""Three views of a fair comparison: equal steps, equal FLOPs, equal time on one kind of processor.

A method that reads teachers costs more a step, so what is fair depends on what one has to give. A
question is about one view; the others are shown as far as there are runs.
"""

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import Any

from kvdistill.plan.sweep import VIEWS
from kvdistill.report.format import format_interval, format_signed
from kvdistill.report.sections.choose_arms import choose_primary_arm
from kvdistill.report.table import DASH, ReportTable, TableCell
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.arm_differences import list_differences, select_undeclared
from kvdistill.stats.compare import Difference, compare_arms
from kvdistill.stats.equal_budget import (
    choose_view,
    count_run_flops,
    explain_unequal_arms,
    read_train_seconds,
)
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import EQUAL_FLOPS, EQUAL_TIME, MACRO, Arm, Run, Study

TITLES = dict(zip(VIEWS, ("equal steps", "equal FLOPs", "equal time"), strict=True))
Amount = Callable[[Run], float | None]
NOTE = (
    "Amounts are the arm's, as multiples of the other's. FLOPs are the student's and those of "
    "teachers, read anew in every batch; or with what filling the stores took, shared among the "
    "finished runs of this study that read them; or all of it."
)
ANSWERS_NOTE = (
    " What teachers took to write answers is whole in the first of the three and in the last, and "
    "shared in the second as a store's filling is."
)


def tabulate_fair_views(study: Study, analysis: Analysis, settings: Settings) -> ReportTable:
    """The primary arm against the baseline, or its like with another budget, a row a view."""
    question = analysis.question
    label = name_primary_arm(analysis)
    arm = question.arms.get(label or "")
    baseline = question.arms.get(analysis.baseline)
    rows: list[list[TableCell]] = []
    claimed = question.match
    if arm is not None and baseline is not None and arm.trained and baseline.trained:
        claimed = choose_view(arm, baseline, question)
        rows = [
            make_view_row(study, analysis, settings, view, arm, list_likes(analysis, arm))
            for view in VIEWS
        ]
    answered = any(run.budget.get("answers") for run in study.runs.values())
    amounts = [title for title, _ in list_amounts(study)]
    return ReportTable(
        name=f"{question.name}_views",
        caption=f"Three views of fair; the claim is about {TITLES[claimed]}",
        columns=["view", "arm", "against", *amounts, "difference", "recipe interval", "remark"],
        rows=rows,
        note=NOTE + (ANSWERS_NOTE if answered else ""),
        numeric=[False, False, False, *([True] * len(amounts)), True, True, False],
    )


def name_primary_arm(analysis: Analysis) -> str | None:
    """The arm that the question names, whether or not it can be compared; else the best."""
    named = (analysis.question.primary or {}).get("arm")
    return str(named) if named in analysis.question.arms else choose_primary_arm(analysis)


def list_likes(analysis: Analysis, arm: Arm) -> list[Arm]:
    """The baseline, then every other arm that differs from it in nothing but its budget."""
    question = analysis.question
    baseline = question.arms[analysis.baseline]
    others = [each for each in question.arms.values() if each not in (baseline, arm)]
    return [baseline, *(each for each in others if is_like(each, baseline))]


def is_like(arm: Arm, baseline: Arm) -> bool:
    """Whether two trained arms are one recipe at two budgets."""
    fields = {each.field for each in list_differences(arm, baseline)}
    follows = {"real tokens", "processor", "packages"}
    return arm.trained and all(field.startswith("budget.") or field in follows for field in fields)


def make_view_row(
    study: Study, analysis: Analysis, settings: Settings, view: str, arm: Arm, likes: Sequence[Arm]
) -> list[TableCell]:
    """One view: what the arm is set beside, how much more it spent, and the difference."""
    question = analysis.question
    other = next((each for each in likes if is_equal(arm, each, view)), None)
    against = other or likes[0]
    cells = [
        make_ratio_cell(average_amount(arm, read), average_amount(against, read))
        for _, read in list_amounts(study)
    ]
    head = [TableCell(TITLES[view]), TableCell(arm.label)]
    if other is None:
        remark = describe_missing_run(arm, likes[0], view)
        return [*head, TableCell("no run", None, "missing"), *cells,
                TableCell(DASH), TableCell(DASH), TableCell(remark)]  # fmt: skip
    known = analysis.comparisons.get(arm.label)
    if other.label == analysis.baseline and known is not None and known.view == view:
        difference = known.macro
    else:
        difference = compare_arms(
            arm, other, study.tasks, settings, endpoints=[MACRO], question=question, view=view
        ).macro
    return [*head, TableCell(other.label), *cells, *make_result_cells(difference)]


def make_result_cells(difference: Difference) -> list[TableCell]:
    """Difference, interval and remark; where there is no estimate, why."""
    if difference.estimate is None:
        return [TableCell(difference.status, None, "missing"), TableCell(DASH),
                TableCell(difference.why)]  # fmt: skip
    points, recipe = 100 * difference.estimate, difference.recipe
    ends = format_interval(100 * recipe.low, 100 * recipe.high) if recipe else DASH
    return [TableCell(format_signed(points, 2), points), TableCell(ends), TableCell("")]


def is_equal(arm: Arm, other: Arm, view: str) -> bool:
    """Whether two arms spent the same in this view; times only on one kind of processor."""
    if explain_unequal_arms(arm, other, view):
        return False
    differences = list_differences(arm, other)
    other_processor = any(
        each.field == "processor" for each in select_undeclared(differences, timing=True)
    )
    return view != EQUAL_TIME or not other_processor


def describe_missing_run(arm: Arm, baseline: Arm, view: str) -> str:
    """How long the baseline would have to train to be equal in this view."""
    read = {EQUAL_FLOPS: count_run_flops, EQUAL_TIME: read_train_seconds}.get(view)
    if read is None:
        return ""
    ours, theirs = average_amount(arm, read), average_amount(baseline, read)
    if not ours or not theirs:
        return "not on record"
    steps = fmean(run.budget["steps"] for run in baseline.distinct_runs() if run.budget)
    hint = f", as budget.match={{flops_of: {arm.label}}}" if view == EQUAL_FLOPS else ""
    return f"{baseline.label} would need about {steps * ours / theirs:.0f} steps{hint}"


def list_amounts(study: Study) -> Iterator[tuple[str, Amount]]:
    """Column -> what of a run it compares."""
    readers: dict[str, int] = {}
    for run in study.runs.values():
        for name in list_shared_flops(run):
            readers[name] = readers.get(name, 0) + 1
    yield "steps", lambda run: run.budget.get("steps")
    yield "FLOPs", count_run_flops
    yield "FLOPs, stores shared", lambda run: add_stores(run, readers)
    yield "FLOPs, stores alone", lambda run: add_stores(run, {})
    yield "seconds", read_train_seconds


def add_stores(run: Run, readers: dict[str, int]) -> float | None:
    """Operations of a run with its part of those that filled the stores, or wrote the answers."""
    parts: list[float | None] = [run.budget.get(k) for k in ("student_flops", "teacher_flops")]
    if run.budget.get("stored_bytes") and not run.budget.get("store_flops"):
        return None  # from before stores recorded it
    for name, flops in list_shared_flops(run).items():
        parts.append(None if flops is None else flops / readers.get(name, 1))
    known = [part for part in parts if part is not None]
    return float(sum(known)) if len(known) == len(parts) else None


def list_shared_flops(run: Run) -> dict[str, Any]:
    """Artefact -> what making it took, of those that runs share: stores, and teachers' answers."""
    answers = (run.budget.get("answers") or {}).values()
    return {**(run.budget.get("store_flops") or {}), **{a["artifact"]: a["flops"] for a in answers}}


def average_amount(arm: Arm, read: Amount) -> float | None:
    """Mean over the arm's distinct runs; None where one has none on record."""
    values = [read(run) for run in arm.distinct_runs()]
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def make_ratio_cell(ours: float | None, theirs: float | None) -> TableCell:
    """`2.73`: how many times the other's amount."""
    if not ours or not theirs:
        return TableCell(DASH)
    return TableCell(f"{ours / theirs:.2f}", ours / theirs)
