"""Arms x (tasks, macro average) of one question: mean and standard deviation over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from kvdistill.stats.arm_differences import list_differences
from kvdistill.stats.audit.withdrawn import describe_withdrawal
from kvdistill.stats.differences.base import ArmDifference
from kvdistill.stats.load import load_study
from kvdistill.stats.study import MACRO, Arm, QuestionRecords, Run, Study


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One arm on one endpoint. Never a mean over a part of the planned seeds."""

    values: Sequence[float]
    """One a distinct finished run, in [0, 1]."""
    mean: float | None
    sd: float | None
    """None with one distinct run: there is no spread to tell."""
    gaps: Sequence[str] = ()
    """What is missing, by name; then mean and sd are None."""

    def text(self, points: int = 1) -> str:
        """`68.5 +- 1.2`, `43.1` for a single run, or what there is with its gap named."""
        if self.mean is None:
            done = ", ".join(f"{100 * value:.{points}f}" for value in self.values)
            return f"{done}; missing {', '.join(self.gaps)}" if done else "missing"
        if self.sd is None:
            return f"{100 * self.mean:.{points}f}"
        return f"{100 * self.mean:.{points}f}\u00b1{100 * self.sd:.{points}f}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """One question."""

    question: str
    text: str
    endpoints: Sequence[str]
    rows: Mapping[str, Mapping[str, Cell]]
    """Arm -> endpoint -> cell."""
    clean: Mapping[str, Cell] = field(default_factory=dict)
    """Arm -> the average over items that no training text holds; empty where no run was checked."""
    references: Sequence[str] = ()
    """Rows that are teachers, there to be looked at and not compared."""
    missing: Sequence[str] = ()
    withdrawn: Sequence[str] = ()
    """What was withdrawn of the question's arms, and why, a sentence each."""
    baseline: str = ""
    """The arm that the others are compared with."""
    contrasts: Mapping[str, Sequence[ArmDifference]] = field(default_factory=dict)
    """Arm -> what differs between it and the baseline beside the seeds."""

    def best(self, endpoint: str) -> str | None:
        """The arm with the highest mean, teachers left out."""
        known = {
            label: cells[endpoint].mean
            for label, cells in self.rows.items()
            if label not in self.references and cells[endpoint].mean is not None
        }
        return max(known, key=lambda label: known[label] or 0.0) if known else None


def summarise_study(study_folder: Path | Sequence[Path]) -> list[Table]:
    """A table a question of the study (or of several, joined), for the end of a command."""
    folders = [study_folder] if isinstance(study_folder, str | Path) else study_folder
    return build_tables(load_study([Path(folder) for folder in folders]))


def build_tables(study: Study) -> list[Table]:
    """A table a question, teachers as reference rows."""
    return [build_table(study, question) for question in study.questions.values()]


def build_table(study: Study, question: QuestionRecords) -> Table:
    """The question's arms in the plan's order, then the teachers that were evaluated."""
    teachers = {
        f"teacher {name}": Arm(label=f"teacher {name}", runs={run.seed: run})
        for name, run in study.references.items()
    }
    table = replace(
        build_arm_table(study, question.name, question.text, question.arms, teachers),
        withdrawn=[
            describe_withdrawal(one) for one in study.withdrawn if one.question == question.name
        ],
    )
    if not question.arms:  # all withdrawn
        return table
    baseline = question.arms[question.baseline]
    return replace(
        table,
        baseline=question.baseline,
        contrasts={
            label: list_differences(arm, baseline, question)
            for label, arm in question.arms.items()
            if label != question.baseline
        },
    )


def build_arm_table(
    study: Study, name: str, text: str, arms: Mapping[str, Arm], teachers: Mapping[str, Arm]
) -> Table:
    """A table of any arms."""
    endpoints = (*study.tasks, MACRO)
    every = {**arms, **teachers}
    return Table(
        question=name,
        text=text,
        endpoints=endpoints,
        rows={
            label: {endpoint: summarise_arm(arm, endpoint, study.tasks) for endpoint in endpoints}
            for label, arm in every.items()
        },
        clean=summarise_clean_averages(every, study.tasks),
        references=list(teachers),
        missing=[
            f"{label}: {gap}"
            for label, arm in every.items()
            for gap in arm.list_gaps(MACRO, study.tasks)
        ],
    )


def summarise_arm(arm: Arm, endpoint: str, tasks: Sequence[str]) -> Cell:
    """Mean and SD over the arm's distinct runs; only the values where a planned one is missing."""
    scores = [(run, run.get_score(endpoint, tasks)) for run in arm.distinct_runs()]
    values = [value for _, value in scores if value is not None]
    gaps = arm.list_gaps(endpoint, tasks)
    if gaps or not values:
        return Cell(values=values, mean=None, sd=None, gaps=gaps or ["everything"])
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Cell(values=values, mean=float(np.mean(values)), sd=sd)


def summarise_clean_averages(arms: Mapping[str, Arm], tasks: Sequence[str]) -> dict[str, Cell]:
    """Each arm's average over clean items; none where no run says which of its items are."""
    scores = [s for arm in arms.values() for run in arm.runs.values() for s in run.scores.values()]
    if all(score.tainted is None for score in scores):
        return {}
    return {label: summarise_clean_average(arm, tasks) for label, arm in arms.items()}


def summarise_clean_average(arm: Arm, tasks: Sequence[str]) -> Cell:
    """Mean and SD over the arm's distinct runs; without them where a task has no clean item."""
    runs = [run for run in arm.distinct_runs() if run.done]
    values = [value for run in runs if (value := run.get_clean_average(tasks)) is not None]
    without = [
        task
        for task in tasks
        if any(task in run.scores and run.scores[task].clean is None for run in runs)
    ]
    gaps = [f"clean items of {', '.join(without)}"] if without else arm.list_gaps(MACRO, tasks)
    if gaps or not values:
        return Cell(values=values, mean=None, sd=None, gaps=gaps or ["everything"])
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Cell(values=values, mean=float(np.mean(values)), sd=sd)


def count_finished_runs(study: Study) -> tuple[int, int]:
    """(finished, planned) runs."""
    runs: Sequence[Run] = list(study.runs.values())
    return sum(run.done for run in runs), len(runs)
