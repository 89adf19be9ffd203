"""What else a score could have been called: other weightings, relative to chance, unseen data."""

from collections.abc import Callable, Mapping, Sequence

from kvdistill.report.format import format_signed, title_tasks
from kvdistill.report.table import ReportTable, TableCell, make_number_cell, mean_or_none
from kvdistill.stats.study import MACRO, Arm, Run, Scores, Study

ScoreReader = Callable[[Scores], float | None]
RunReader = Callable[[Run], float | None]


def tabulate_weightings(study: Study, arms: Mapping[str, Arm]) -> ReportTable:
    """The average as it is and under every other sound weighting; columns without values go."""
    readers: dict[str, RunReader] = {
        "average": lambda run: run.get_score(MACRO, study.tasks),
        "by subject": lambda run: average_tasks(run, study.tasks, lambda s: s.by_subject),
        "above chance": lambda run: average_tasks(run, study.tasks, lambda s: s.normalised),
    }
    names = title_tasks(study.tasks)
    for task in list_tasks_with_subjects(study):
        readers[f"{names[task]} by item"] = make_task_reader(task, lambda s: s.score)
        readers[f"{names[task]} by subject"] = make_task_reader(task, lambda s: s.by_subject)
    rows = {label: make_mean_cells(arm, readers) for label, arm in arms.items()}
    known_columns = [
        i for i in range(len(readers)) if any(row[i].sort is not None for row in rows.values())
    ]
    return ReportTable(
        "weightings",
        "The average under other weightings",
        ["arm", *(list(readers)[i] for i in known_columns)],
        # Without a single value there is nothing to draw but labels.
        [
            [TableCell(label), *(row[i] for i in known_columns)]
            for label, row in rows.items()
            if known_columns
        ],
        note=(
            "Percent, mean over seeds. Average: unweighted mean of the tasks, each the mean over "
            "its items: the headline. By subject: each task the mean over its subjects. Above "
            "chance: as in the table below."
        ),
    )


def list_tasks_with_subjects(study: Study) -> list[str]:
    """The tasks that some finished run scored by several subjects."""
    runs = [run for run in study.runs.values() if run.done]
    return [
        task
        for task in study.tasks
        if any(run.scores[task].subjects > 1 for run in runs if task in run.scores)
    ]


def tabulate_above_chance(study: Study, arms: Mapping[str, Arm]) -> ReportTable:
    """Every score as it stands above guessing."""
    names = title_tasks((*study.tasks, MACRO))
    readers = {names[task]: make_task_reader(task, lambda s: s.normalised) for task in study.tasks}
    readers[names[MACRO]] = lambda run: average_tasks(run, study.tasks, lambda s: s.normalised)
    rows = {label: make_mean_cells(arm, readers) for label, arm in arms.items()}
    is_known = any(cell.sort is not None for cells in rows.values() for cell in cells)
    return ReportTable(
        "above_chance",
        "Scores above chance",
        ["arm", *readers],
        [[TableCell(label), *cells] for label, cells in rows.items() if is_known],
        note=(
            "Percent, mean over seeds: 0 at guessing, 100 at all right, not below 0, each subject "
            "by its own chance. A dash: missing."
        ),
    )


def average_tasks(run: Run, tasks: Sequence[str], read_score: ScoreReader) -> float | None:
    """Unweighted mean over the tasks; None where one has no value."""
    return mean_or_none(
        [read_score(run.scores[task]) if task in run.scores else None for task in tasks]
    )


def make_task_reader(task: str, read_score: ScoreReader) -> RunReader:
    """What reads a value of one task off a run; None where the run lacks the task."""
    return lambda run: read_score(run.scores[task]) if task in run.scores else None


def make_mean_cells(arm: Arm, readers: Mapping[str, RunReader]) -> list[TableCell]:
    """A cell a reader: mean over the arm's distinct runs in percent, if all of them have one."""
    cells = []
    for read_run in readers.values():
        mean = mean_or_none([read_run(run) if run.done else None for run in arm.distinct_runs()])
        cells.append(make_number_cell(None if mean is None else 100 * mean, "{:.1f}".format))
    return cells


def tabulate_generalisation(arms: Mapping[str, Arm]) -> ReportTable:
    """Train/test gap, and how evenly an arm does over kinds of task; no rows without either."""
    rows = []
    for label, arm in arms.items():
        row = [TableCell(label)]
        for key, form in (("gap", format_signed), ("spread", "{:.1f}".format)):
            mean = mean_or_none([run.generalisation.get(key) for run in arm.distinct_runs()])
            row.append(make_number_cell(None if mean is None else 100 * mean, form))
        rows.append(row)
    if all(cell.sort is None for row in rows for cell in row):
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
