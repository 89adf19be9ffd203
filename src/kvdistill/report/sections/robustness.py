"""What else a score could have been called: other weightings, normalised by chance, unseen data."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kvdistill.report.format import DASH, format_signed, title_tasks
from kvdistill.report.table import ReportTable, TableCell, mean_or_none
from kvdistill.stats.study import MACRO, Arm, Run, Scores, Study


def tabulate_weightings(study: Study, arms: Mapping[str, Arm]) -> ReportTable:
    """The average as it is and under every other sound weighting, side by side."""
    names = title_tasks(study.tasks)
    finished_runs = [run for run in study.runs.values() if run.done]
    tasks_with_subjects = [
        task
        for task in study.tasks
        if any(run.scores[task].subjects > 1 for run in finished_runs if task in run.scores)
    ]
    columns: dict[str, Callable[[Run], float | None]] = {
        "average": lambda run: run.value(MACRO, study.tasks),
        "by subject": lambda run: average_tasks(run, study.tasks, lambda s: s.by_subject),
        "above chance": lambda run: average_tasks(run, study.tasks, lambda s: s.normalised),
    }
    for task in tasks_with_subjects:
        columns[f"{names[task]} by item"] = make_task_reader(task, lambda s: s.score)
        columns[f"{names[task]} by subject"] = make_task_reader(task, lambda s: s.by_subject)
    rows = {label: make_mean_cells(arm, columns) for label, arm in arms.items()}
    known_columns = [
        i for i in range(len(columns)) if any(row[i].sort is not None for row in rows.values())
    ]
    return ReportTable(
        "weightings",
        "The average under other weightings",
        ["arm", *(list(columns)[i] for i in known_columns)],
        [[TableCell(label), *(row[i] for i in known_columns)] for label, row in rows.items()],
        note=(
            "Percent, mean over seeds. Average: unweighted mean of the tasks, each the mean over "
            "its items: the headline. By subject: each task the mean over its subjects. Above "
            "chance: as in the table below."
        ),
    )


def tabulate_above_chance(study: Study, arms: Mapping[str, Arm]) -> ReportTable:
    """Every score as it stands above guessing, beside the raw ones of the matrix."""
    names = title_tasks((*study.tasks, MACRO))
    columns = {names[task]: make_task_reader(task, lambda s: s.normalised) for task in study.tasks}
    columns[names[MACRO]] = lambda run: average_tasks(run, study.tasks, lambda s: s.normalised)
    return ReportTable(
        "above_chance",
        "Scores above chance",
        ["arm", *columns],
        [[TableCell(label), *make_mean_cells(arm, columns)] for label, arm in arms.items()],
        note=(
            "Percent, mean over seeds: 0 at guessing, 100 at all right, not below 0, each subject "
            "by its own chance. A dash: missing."
        ),
    )


def average_tasks(
    run: Run, tasks: Sequence[str], figure: Callable[[Scores], float | None]
) -> float | None:
    """Unweighted mean over the tasks; None where one has none."""
    values = [figure(run.scores[task]) if task in run.scores else None for task in tasks]
    known_values = [value for value in values if value is not None]
    return (
        float(np.mean(known_values)) if known_values and len(known_values) == len(tasks) else None
    )


def make_task_reader(
    task: str, figure: Callable[[Scores], float | None]
) -> Callable[[Run], float | None]:
    """A figure of one task."""
    return lambda run: figure(run.scores[task]) if task in run.scores else None


def make_mean_cells(
    arm: Arm, columns: Mapping[str, Callable[[Run], float | None]]
) -> list[TableCell]:
    """Mean over the arm's distinct runs in percent; a dash where one of them has none."""
    cells = []
    for figure in columns.values():
        mean = mean_or_none([figure(run) if run.done else None for run in arm.unique()])
        cells.append(
            TableCell(DASH) if mean is None else TableCell(f"{100 * mean:.1f}", 100 * mean)
        )
    return cells


def tabulate_generalisation(arms: Mapping[str, Arm]) -> ReportTable:
    """Train/test gap, and how evenly an arm does over kinds of task."""
    rows = []
    for label, arm in arms.items():
        row = [TableCell(label)]
        for key, form in (("gap", format_signed), ("spread", lambda points: f"{points:.1f}")):
            mean = mean_or_none([run.generalisation.get(key) for run in arm.unique()])
            row.append(TableCell(DASH) if mean is None else TableCell(form(100 * mean), 100 * mean))
        rows.append(row)
    if all(value.sort is None for row in rows for value in row):
        rows = []  # no suite of this study asks training questions
    return ReportTable(
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
