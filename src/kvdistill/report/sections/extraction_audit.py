"""Whether a result hangs on how answers were read: rates, both extractors, and the sign of a gain.

Non-finite outputs have no rate here: an evaluation that meets one is refused.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from kvdistill.report.format import DASH, signed, task_names
from kvdistill.report.table import Grid, Value, mean_of
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.study import MACRO, Arm, Study

RATES = ("unparsed", "truncated", "empty")
MANY = 0.1
"""Share of outputs above which a rate is coloured."""


def by_arm(study: Study, arms: Mapping[str, Arm]) -> Grid:
    """Shares of outputs without a readable answer, cut off, or empty: mean over tasks and runs."""
    rows = []
    for label, arm in arms.items():
        if gaps := arm.gaps(MACRO, study.tasks):
            named = Value(f"missing: {', '.join(gaps)}", None, "missing")
            rows.append([Value(label), named, *[Value(DASH)] * 5])
            continue
        found = [run.scores[task] for run in arm.unique() for task in study.tasks]
        worst = max(found, key=lambda s: s.unparsed)
        moved = [s.alternative - s.score for s in found if s.alternative is not None]
        mean = float(np.mean(moved)) if moved else None
        rows.append(
            [
                Value(label),
                *(rate([getattr(s, key) for s in found]) for key in RATES),
                Value("0", 0.0),
                Value(f"{worst.task} ({100 * worst.unparsed:.1f} %)" if worst.unparsed else DASH),
                Value(DASH) if mean is None else Value(signed(100 * mean), mean),
            ]
        )
    return Grid(
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


def by_task(analysis: Analysis, tasks: Sequence[str]) -> Grid:
    """Each arm on each task under both extractors, and whether the sign of its gain holds."""
    names = task_names(tasks)
    arms = analysis.question.arms
    rows, turned = [], 0
    for label, arm in arms.items():
        for task in tasks:
            if arm.gaps(task, tasks):
                continue
            found = [run.scores[task] for run in arm.unique()]
            holds = Value(DASH)
            if label != analysis.baseline and (signs := both_signs(arm, arms, analysis, task)):
                same = np.sign(round(signs[0], 9)) == np.sign(round(signs[1], 9))
                turned += not same
                words = f"{signed(100 * signs[0])} / {signed(100 * signs[1])}"
                holds = Value(words if same else f"{words}: depends", None, "" if same else "bad")
            other = alternative(arm, task)
            rows.append(
                [
                    Value(label),
                    Value(names[task]),
                    *(rate([getattr(s, key) for s in found]) for key in RATES),
                    percent(score(arm, task)),
                    Value(DASH) if other is None else percent(other),
                    holds,
                ]
            )
    return Grid(
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


def both_signs(
    arm: Arm, arms: Mapping[str, Arm], analysis: Analysis, task: str
) -> tuple[float, float] | None:
    """The difference from the baseline under both extractors; None where one has no second."""
    baseline = arms[analysis.baseline]
    if baseline.gaps(task, [task]):
        return None
    ours, theirs = alternative(arm, task), alternative(baseline, task)
    if ours is None or theirs is None:
        return None
    return score(arm, task) - score(baseline, task), ours - theirs


def score(arm: Arm, task: str) -> float:
    """Mean over the arm's distinct runs."""
    return float(np.mean([run.scores[task].score for run in arm.unique()]))


def alternative(arm: Arm, task: str) -> float | None:
    """The same under the other extractor."""
    return mean_of([run.scores[task].alternative for run in arm.unique()])


def rate(shares: Sequence[float]) -> Value:
    """A mean share in percent, coloured where it is large."""
    share = float(np.mean(shares))
    return Value(f"{100 * share:.1f} %", 100 * share, "bad" if share > MANY else "")


def percent(share: float) -> Value:
    """A share as percent."""
    return Value(f"{100 * share:.1f}", 100 * share)
