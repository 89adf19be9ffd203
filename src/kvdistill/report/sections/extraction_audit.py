"""Whether a result hangs on how answers were read: rates, both extractors, and the sign of a gain.

Non-finite outputs have no rate here: an evaluation that meets one is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

import numpy as np

from kvdistill.records import HIGH_CUT_SHARE
from kvdistill.report.format import format_signed, title_tasks
from kvdistill.report.table import DASH, ReportTable, TableCell, mean_or_none
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.study import MACRO, Arm, Study

RATES = ("unparsed", "truncated", "empty")
"""Fields of Scores: shares of outputs without a readable answer, cut off, or empty."""


def tabulate_by_arm(study: Study, arms: Mapping[str, Arm]) -> ReportTable:
    """A row an arm: its rates, its worst task, and the score under the other extractor."""
    return ReportTable(
        "extraction",
        "Extraction audit: how many answers could not be read",
        [
            "arm", "no answer found", "cut off", "empty", "mark written", "non-finite",
            "worst task", "readings differ", "other extractor, points",
        ],
        [[TableCell(label), *make_arm_cells(arm, study.tasks)] for label, arm in arms.items()],
        note=(
            "Mean over tasks and runs. Such answers count as wrong. Non-finite: a model that gives "
            "NaN or infinity is refused, so nothing here has any. The last column: how the score "
            "would move under each task's second extractor, which shares no rule with the first; "
            "before it, the share of answers that only one of the two takes for right. Mark "
            "written: answers with the mark that the prompts show (####, a box, \"answer is\")."
        ),
        numeric=[False, True, True, True, True, True, False, True, True],
    )  # fmt: skip


def list_cut_sentences(arms: Mapping[str, Arm]) -> Iterator[str]:
    """Each arm's tasks many of whose answers were cut off: the length limit decides their score."""
    for label, arm in arms.items():
        scores = [score for run in arm.distinct_runs() for score in run.scores.values()]
        shares: dict[str, list[float]] = {}
        for score in scores:
            shares.setdefault(score.task, []).append(score.truncated)
        cut = {task: fmean(each) for task, each in shares.items() if fmean(each) > HIGH_CUT_SHARE}
        if cut:
            tasks = ", ".join(f"{task} ({100 * share:.0f} %)" for task, share in cut.items())
            yield (
                f"{label}: many answers were cut off at the length limit and count as wrong: "
                f"{tasks}. Raise tasks.max_gen_toks, or show worked examples (tasks.shots)."
            )


def make_arm_cells(arm: Arm, tasks: Sequence[str]) -> list[TableCell]:
    """One arm, mean over tasks and distinct runs; what is missing where it has no macro average."""
    if gaps := arm.list_gaps(MACRO, tasks):
        missing = TableCell(f"missing: {', '.join(gaps)}", None, "missing")
        return [missing, *[TableCell(DASH)] * 7]
    scores = [run.scores[task] for run in arm.distinct_runs() for task in tasks]
    worst = max(scores, key=lambda s: s.unparsed)
    changes = [s.alternative - s.score for s in scores if s.alternative is not None]
    change = float(np.mean(changes)) if changes else None
    return [
        *(make_rate_cell([getattr(s, rate) for s in scores]) for rate in RATES),
        make_mark_cell([s.marked for s in scores if s.marked is not None]),
        TableCell("0", 0.0),
        TableCell(f"{worst.task} ({100 * worst.unparsed:.1f} %)" if worst.unparsed else DASH),
        make_mark_cell([s.disagree for s in scores if s.disagree is not None]),
        TableCell(DASH) if change is None else TableCell(format_signed(100 * change), change),
    ]


def tabulate_by_task(analysis: Analysis, tasks: Sequence[str]) -> ReportTable:
    """Each arm on each task under both extractors, and whether the sign of its gain holds.

    An arm that lacks a task has no row for it.
    """
    names = title_tasks(tasks)
    rows, changed_signs = [], 0
    for label, arm in analysis.question.arms.items():
        for task in tasks:
            if arm.list_gaps(task, tasks):
                continue
            scores = [run.scores[task] for run in arm.distinct_runs()]
            differences = compute_both_differences(analysis, label, task)
            changed_signs += differences is not None and not has_one_sign(differences)
            alternative = average_alternative(arm, task)
            rows.append(
                [
                    TableCell(label),
                    TableCell(names[task]),
                    *(make_rate_cell([getattr(s, rate) for s in scores]) for rate in RATES),
                    make_mark_cell([s.marked for s in scores if s.marked is not None]),
                    make_percent_cell(average_score(arm, task)),
                    TableCell(DASH) if alternative is None else make_percent_cell(alternative),
                    make_mark_cell([s.disagree for s in scores if s.disagree is not None]),
                    make_differences_cell(differences),
                ]
            )
    return ReportTable(
        f"{analysis.question.name}_extraction",
        f"Extraction by task; {changed_signs} signs depend on the extractor",
        [
            "arm", "task", "no answer found", "cut off", "empty", "mark written", "score",
            "other extractor", "readings differ", "difference under both",
        ],
        rows,
        note=(
            f"Percent; the last column is the difference from {analysis.baseline} in points under "
            "the first and the second extractor. A dash: letters are not extracted."
        ),
        numeric=[False, False, *[True] * 7, False],
    )  # fmt: skip


def compute_both_differences(
    analysis: Analysis, label: str, task: str
) -> tuple[float, float] | None:
    """The difference from the baseline under each extractor.

    None for the baseline itself, and where either arm has no second extractor.
    """
    arm, baseline = analysis.question.arms[label], analysis.question.arms[analysis.baseline]
    if label == analysis.baseline or baseline.list_gaps(task, [task]):
        return None
    ours, theirs = average_alternative(arm, task), average_alternative(baseline, task)
    if ours is None or theirs is None:
        return None
    return average_score(arm, task) - average_score(baseline, task), ours - theirs


def has_one_sign(differences: tuple[float, float]) -> bool:
    """Whether both extractors agree on gain, tie or loss."""
    # Rounded: means over seeds that tie differ in the last bits.
    first, second = (np.sign(round(difference, 9)) for difference in differences)
    return bool(first == second)


def make_differences_cell(differences: tuple[float, float] | None) -> TableCell:
    """Both differences in points, coloured where their signs differ."""
    if differences is None:
        return TableCell(DASH)
    text = " / ".join(format_signed(100 * difference) for difference in differences)
    if has_one_sign(differences):
        return TableCell(text)
    return TableCell(f"{text}: depends", None, "bad")


def average_score(arm: Arm, task: str) -> float:
    """Mean over the arm's distinct runs."""
    return float(np.mean([run.scores[task].score for run in arm.distinct_runs()]))


def average_alternative(arm: Arm, task: str) -> float | None:
    """The same under the other extractor; None where a run has none."""
    return mean_or_none([run.scores[task].alternative for run in arm.distinct_runs()])


def make_rate_cell(shares: Sequence[float]) -> TableCell:
    """A mean share in percent, coloured where it is large."""
    share = float(np.mean(shares))
    return TableCell(f"{100 * share:.1f} %", 100 * share, "bad" if share > HIGH_CUT_SHARE else "")


def make_mark_cell(shares: Sequence[float]) -> TableCell:
    """A mean share in percent that is neither good nor bad; a dash where no task has it."""
    if not shares:
        return TableCell(DASH)
    return TableCell(f"{100 * fmean(shares):.1f} %", 100 * fmean(shares))


def make_percent_cell(share: float) -> TableCell:
    """A share as percent."""
    return TableCell(f"{100 * share:.1f}", 100 * share)
