"""Whether a result hangs on how answers were read: rates, both extractors, and the sign of a gain.

Non-finite outputs have no rate here: an evaluation that meets one is refused.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from kvdistill.report.format import DASH, format_signed, title_tasks
from kvdistill.report.table import ReportTable, TableCell, mean_or_none
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.study import MACRO, Arm, Study

RATES = ("unparsed", "truncated", "empty")
HIGH_RATE = 0.1
"""Share of outputs above which a rate is coloured."""


def tabulate_by_arm(study: Study, arms: Mapping[str, Arm]) -> ReportTable:
    """Shares of outputs without a readable answer, cut off, or empty: mean over tasks and runs."""
    rows = []
    for label, arm in arms.items():
        if gaps := arm.gaps(MACRO, study.tasks):
            missing = TableCell(f"missing: {', '.join(gaps)}", None, "missing")
            rows.append([TableCell(label), missing, *[TableCell(DASH)] * 5])
            continue
        scores = [run.scores[task] for run in arm.unique() for task in study.tasks]
        worst = max(scores, key=lambda s: s.unparsed)
        moved = [s.alternative - s.score for s in scores if s.alternative is not None]
        mean = float(np.mean(moved)) if moved else None
        rows.append(
            [
                TableCell(label),
                *(make_rate_cell([getattr(s, key) for s in scores]) for key in RATES),
                TableCell("0", 0.0),
                TableCell(
                    f"{worst.task} ({100 * worst.unparsed:.1f} %)" if worst.unparsed else DASH
                ),
                TableCell(DASH) if mean is None else TableCell(format_signed(100 * mean), mean),
            ]
        )
    return ReportTable(
        "extraction",
        "Extraction audit: how many answers could not be read",
        [
            "arm", "no answer found", "cut off", "empty", "non-finite", "worst task",
            "other extractor, points",
        ],
        rows,
        note=(
            "Mean over tasks and runs. Such answers count as wrong. Non-finite: a model that gives "
            "NaN or infinity is refused, so nothing here has any. The last column: how the score "
            "would move under each task's second extractor."
        ),
        numeric=[False, True, True, True, True, False, True],
    )  # fmt: skip


def tabulate_by_task(analysis: Analysis, tasks: Sequence[str]) -> ReportTable:
    """Each arm on each task under both extractors, and whether the sign of its gain holds."""
    names = title_tasks(tasks)
    arms = analysis.question.arms
    rows, turned = [], 0
    for label, arm in arms.items():
        for task in tasks:
            if arm.gaps(task, tasks):
                continue
            scores = [run.scores[task] for run in arm.unique()]
            holds = TableCell(DASH)
            if label != analysis.baseline and (
                signs := compute_both_differences(arm, arms, analysis, task)
            ):
                same = np.sign(round(signs[0], 9)) == np.sign(round(signs[1], 9))
                turned += not same
                words = f"{format_signed(100 * signs[0])} / {format_signed(100 * signs[1])}"
                holds = TableCell(
                    words if same else f"{words}: depends", None, "" if same else "bad"
                )
            other = average_alternative(arm, task)
            rows.append(
                [
                    TableCell(label),
                    TableCell(names[task]),
                    *(make_rate_cell([getattr(s, key) for s in scores]) for key in RATES),
                    make_percent_cell(average_score(arm, task)),
                    TableCell(DASH) if other is None else make_percent_cell(other),
                    holds,
                ]
            )
    return ReportTable(
        f"{analysis.question.name}_extraction",
        f"Extraction by task; {turned} signs depend on the extractor",
        [
            "arm", "task", "no answer found", "cut off", "empty", "score", "other extractor",
            "difference under both",
        ],
        rows,
        note=(
            f"Percent; the last column is the difference from {analysis.baseline} in points under "
            "the first and the second extractor. A dash: letters are not extracted."
        ),
        numeric=[False, False, *[True] * 5, False],
    )  # fmt: skip


def compute_both_differences(
    arm: Arm, arms: Mapping[str, Arm], analysis: Analysis, task: str
) -> tuple[float, float] | None:
    """The difference from the baseline under both extractors; None where one has no second."""
    baseline = arms[analysis.baseline]
    if baseline.gaps(task, [task]):
        return None
    ours, theirs = average_alternative(arm, task), average_alternative(baseline, task)
    if ours is None or theirs is None:
        return None
    return average_score(arm, task) - average_score(baseline, task), ours - theirs


def average_score(arm: Arm, task: str) -> float:
    """Mean over the arm's distinct runs."""
    return float(np.mean([run.scores[task].score for run in arm.unique()]))


def average_alternative(arm: Arm, task: str) -> float | None:
    """The same under the other extractor."""
    return mean_or_none([run.scores[task].alternative for run in arm.unique()])


def make_rate_cell(shares: Sequence[float]) -> TableCell:
    """A mean share in percent, coloured where it is large."""
    share = float(np.mean(shares))
    return TableCell(f"{100 * share:.1f} %", 100 * share, "bad" if share > HIGH_RATE else "")


def make_percent_cell(share: float) -> TableCell:
    """A share as percent."""
    return TableCell(f"{100 * share:.1f}", 100 * share)
