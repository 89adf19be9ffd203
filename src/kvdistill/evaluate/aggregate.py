"""From scored items to the figures of a run: a score a task, and the macro average over tasks."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, pstdev

from kvdistill.evaluate.task_data import get_subject
from kvdistill.records import Item, TaskScore


def score_task(metric: str, items: Sequence[Item], chances: Mapping[str, float]) -> TaskScore:
    """The score of one task from its items; `chances` is item id -> expected score of guessing."""
    correct = [item.correct for item in items]
    score, chance = fmean(correct), fmean(chances[item.item] for item in items)
    subjects = group_by_subject(items)
    alternatives = [item.alternative for item in items if item.alternative is not None]
    disagreed = [i.correct != i.alternative for i in items if i.alternative is not None]
    return TaskScore(
        metric=metric,
        score=score,
        n=len(items),
        stderr=_stderr(correct),
        chance=chance,
        unparsed=fmean(item.unparsed for item in items),
        truncated=fmean(item.truncated for item in items),
        empty=fmean(item.empty for item in items),
        by_subject=fmean(fmean(i.correct for i in part) for part in subjects.values()),
        normalised=fmean(
            normalise_by_chance(
                fmean(i.correct for i in part), fmean(chances[i.item] for i in part)
            )
            for part in subjects.values()
        ),
        alternative=fmean(alternatives) if alternatives else None,
        disagree=fmean(disagreed) if disagreed else None,
    )


def score_clean_items(
    score: TaskScore, items: Sequence[Item], tainted: Collection[str]
) -> TaskScore:
    """The score with `clean`, its mean over the items whose ids are not in `tainted`."""
    clean = [item.correct for item in items if item.item not in tainted]
    return replace(score, tainted=len(items) - len(clean), clean=fmean(clean) if clean else None)


def group_by_subject(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Items by the subject in their id; a task without subjects is one subject."""
    parts: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        parts[get_subject(item.item)].append(item)
    return dict(parts)


def normalise_by_chance(score: float, chance: float) -> float:
    """(score - chance) / (1 - chance), not below 0; 0 where guessing is always right."""
    return max(0.0, (score - chance) / (1 - chance)) if chance < 1 else 0.0


def compute_macro_average(
    scores: Mapping[str, TaskScore], tasks: Sequence[str], figure: str = "score"
) -> float | None:
    """Unweighted mean of a figure over the suite's tasks; None where one of them has none."""
    # A mean over fewer tasks would look like one over all and compare with none.
    values = [getattr(scores[task], figure) for task in tasks if task in scores]
    return None if len(values) < len(tasks) or None in values else fmean(values)


def compute_task_deviation(scores: Mapping[str, TaskScore], tasks: Sequence[str]) -> float | None:
    """Population standard deviation of the score over the suite's tasks; None if one is missing."""
    if any(task not in scores for task in tasks):
        return None
    return pstdev(scores[task].score for task in tasks)


def compute_generalisation_gap(scores: Mapping[str, TaskScore]) -> float | None:
    """Score on questions of the training texts minus score on held-out ones, in the same form."""
    if not {"train_questions", "test_questions"} <= scores.keys():
        return None
    return scores["train_questions"].score - scores["test_questions"].score


def _stderr(values: Sequence[float]) -> float | None:
    """Standard error of the mean, from the sample variance (n - 1); None for one value."""
    if len(values) < 2:
        return None
    mean = fmean(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
