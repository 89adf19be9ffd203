"""What else a score could have been called: other weightings, normalised by chance, unseen data."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kvdistill.report.format import DASH, signed, task_names
from kvdistill.report.table import Grid, Value, mean_of
from kvdistill.stats.study import MACRO, Arm, Run, Scores, Study


def weightings(study: Study, arms: Mapping[str, Arm]) -> Grid:
    """The average as it is and under every other sound weighting, side by side."""
    names = task_names(study.tasks)
    done = [run for run in study.runs.values() if run.done]
    divided = [
        task
        for task in study.tasks
        if any(run.scores[task].subjects > 1 for run in done if task in run.scores)
    ]
    columns: dict[str, Callable[[Run], float | None]] = {
        "average": lambda run: run.value(MACRO, study.tasks),
        "by subject": lambda run: macro(run, study.tasks, lambda s: s.by_subject),
        "above chance": lambda run: macro(run, study.tasks, lambda s: s.normalised),
    }
    for task in divided:
        columns[f"{names[task]} by item"] = read(task, lambda s: s.score)
        columns[f"{names[task]} by subject"] = read(task, lambda s: s.by_subject)
    rows = {label: cells(arm, columns) for label, arm in arms.items()}
    known = [
        i for i in range(len(columns)) if any(row[i].sort is not None for row in rows.values())
    ]
    return Grid(
        "weightings",
        "The average under other weightings",
        ["arm", *(list(columns)[i] for i in known)],
        [[Value(label), *(row[i] for i in known)] for label, row in rows.items()],
        note=(
            "Percent, mean over seeds. Average: unweighted mean of the tasks, each the mean over "
            "its items: the headline. By subject: each task the mean over its subjects. Above "
            "chance: as in the table below."
        ),
    )


def above_chance(study: Study, arms: Mapping[str, Arm]) -> Grid:
    """Every score as it stands above guessing, beside the raw ones of the matrix."""
    names = task_names((*study.tasks, MACRO))
    columns = {names[task]: read(task, lambda s: s.normalised) for task in study.tasks}
    columns[names[MACRO]] = lambda run: macro(run, study.tasks, lambda s: s.normalised)
    return Grid(
        "above_chance",
        "Scores above chance",
        ["arm", *columns],
        [[Value(label), *cells(arm, columns)] for label, arm in arms.items()],
        note=(
            "Percent, mean over seeds: 0 at guessing, 100 at all right, not below 0, each subject "
            "by its own chance. A dash: missing."
        ),
    )


def macro(run: Run, tasks: Sequence[str], figure: Callable[[Scores], float | None]) -> float | None:
    """Unweighted mean over the tasks; None where one has none."""
    values = [figure(run.scores[task]) if task in run.scores else None for task in tasks]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(tasks) else None


def read(task: str, figure: Callable[[Scores], float | None]) -> Callable[[Run], float | None]:
    """A figure of one task."""
    return lambda run: figure(run.scores[task]) if task in run.scores else None


def cells(arm: Arm, columns: Mapping[str, Callable[[Run], float | None]]) -> list[Value]:
    """Mean over the arm's distinct runs in percent; a dash where one of them has none."""
    found = []
    for figure in columns.values():
        mean = mean_of([figure(run) if run.done else None for run in arm.unique()])
        found.append(Value(DASH) if mean is None else Value(f"{100 * mean:.1f}", 100 * mean))
    return found


def generalisation(arms: Mapping[str, Arm]) -> Grid:
    """Train/test gap, and how evenly an arm does over kinds of task."""
    rows = []
    for label, arm in arms.items():
        row = [Value(label)]
        for key, form in (("gap", signed), ("spread", lambda points: f"{points:.1f}")):
            mean = mean_of([run.generalisation.get(key) for run in arm.unique()])
            row.append(Value(DASH) if mean is None else Value(form(100 * mean), 100 * mean))
        rows.append(row)
    if all(value.sort is None for row in rows for value in row):
        rows = []  # no suite of this study asks training questions
    return Grid(
        "generalisation",
        "Generalisation and robustness",
        ["arm", "train/test gap, points", "SD over tasks, points"],
        rows,
        note=(
            "Gap: score on a fixed sample of the questions the student was trained on minus that "
            "on as many held-out ones, in the same form. SD over tasks: how uneven the arm is over "
            "kinds of task. Mean over seeds."
        ),
    )
