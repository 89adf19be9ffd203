"""Studies of a few runs in memory, and rows of a report's tables."""

from pathlib import Path

from kvdistill.stats.analysis import analyse_question
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, QuestionRecords, Run, Scores, Study


def make_scores(task, score, alternative=None, **more):
    more = {"unparsed": 0.0, "truncated": 0.0, "empty": 0.0, **more}
    return Scores(
        task=task, metric="m", score=score, chance=0.0, n=4, alternative=alternative, **more
    )


def make_run(label, *task_scores, **more):
    return Run(
        identity=label, folder=Path(label), arm=label, seed=0, trained=False,
        scores={scores.task: scores for scores in task_scores}, **more,
    )  # fmt: skip


def make_study(*runs):
    arms = {r.arm: Arm(label=r.arm, runs={0: r}) for r in runs}
    question = QuestionRecords(name="q", text="?", arms=arms)
    tasks = list(runs[0].scores)
    records = Study(
        name="s", folders=[], tasks=tasks, questions={"q": question},
        runs={r.identity: r for r in runs}, references={},
    )  # fmt: skip
    return records, analyse_question(records, question, Settings(resamples=999))


def read_row(grid, *key):
    (row,) = [r for r in grid.rows if tuple(v.text for v in r[: len(key)]) == key]
    return dict(zip(grid.columns, (v.text for v in row), strict=True))
