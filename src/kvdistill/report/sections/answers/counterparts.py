"""Scores beside those of lm-eval's own tasks, of models that are scored as they are."""

from collections.abc import Iterator

from kvdistill.report.format import format_signed, title_tasks
from kvdistill.report.table import DASH, ReportTable, TableCell
from kvdistill.stats.study import Run, Study


def tabulate_counterparts(study: Study) -> ReportTable:
    """A row a model and task: ours, lm-eval's under both its filters, and the difference."""
    return ReportTable(
        "counterparts",
        "Beside lm-eval's own tasks",
        [
            "model", "task", "score", "cut off", "lm-eval's task", "its shots", "its score",
            "its second filter", "its cut off", "difference",
        ],
        [row for label, run in list_scored_models(study) for row in make_rows(label, run)],
        note=(
            "Percent, on the same rows; the difference, in points, is the score here less "
            "lm-eval's under its first filter. It says how far scores here are from published ones "
            "of the same protocol, and enters no average."
        ),
        numeric=[False, False, True, True, False, True, True, True, True, True],
    )  # fmt: skip


def list_scored_models(study: Study) -> Iterator[tuple[str, Run]]:
    """Each untrained run that has such scores, once, under its first label."""
    seen = set()
    arms = (arm for question in study.questions.values() for arm in question.arms.values())
    named = [(arm.label, run) for arm in arms for run in arm.distinct_runs()]
    named += [(f"teacher {name}", run) for name, run in study.references.items()]
    for label, run in named:
        if run.counterparts and run.identity not in seen:
            seen.add(run.identity)
            yield label, run


def make_rows(label: str, run: Run) -> Iterator[list[TableCell]]:
    """One model, a row a task that lm-eval has too."""
    titles = title_tasks([*run.scores])
    for task, facts in run.counterparts.items():
        ours = run.scores.get(task)
        theirs = facts.get("score")
        yield [
            TableCell(label),
            TableCell(titles.get(task, task)),
            make_share_cell(ours.score if ours else None),
            make_share_cell(ours.truncated if ours else None),
            TableCell(str(facts["task"])),
            TableCell(str(facts["shots"]), facts["shots"]),
            make_theirs_cell(theirs, str(facts.get("missing", ""))),
            make_share_cell(facts.get("alternative")),
            make_share_cell(facts.get("truncated")),
            make_difference_cell(ours.score if ours else None, theirs),
        ]


def make_share_cell(share: float | None) -> TableCell:
    """A share in percent; a dash where there is none."""
    return TableCell(DASH) if share is None else TableCell(f"{100 * share:.1f}", 100 * share)


def make_theirs_cell(score: float | None, missing: str) -> TableCell:
    """lm-eval's score; where it has none, why, on hover."""
    return (
        make_share_cell(score) if score is not None else TableCell("none", None, "missing", missing)
    )


def make_difference_cell(ours: float | None, theirs: float | None) -> TableCell:
    """The score here less lm-eval's, in points."""
    if ours is None or theirs is None:
        return TableCell(DASH)
    points = 100 * (ours - theirs)
    return TableCell(format_signed(points), points)
