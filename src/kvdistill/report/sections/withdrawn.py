"""What the study withdrew, by name and with its reason and its scores: nothing leaves unseen."""

from kvdistill.report.table import DASH, ReportTable, TableCell, mean_or_none
from kvdistill.stats.study import MACRO, Study, WithdrawnArm

COLUMNS = ["arm", "question", "seeds", "runs", "folders", "average", "withdrawn", "reason"]


def tabulate_withdrawn(study: Study) -> ReportTable:
    """A row a withdrawal, in the order in which they were made."""
    return ReportTable(
        "withdrawn",
        "Withdrawn arms and runs",
        COLUMNS,
        [make_withdrawal_row(one, study) for one in study.withdrawn],
        "No comparison and no verdict uses them, unless they were planned again. Their folders "
        "stay; their average is shown so that it can be seen what was left out.",
        numeric=[False, False, False, False, False, True, False, False],
    )


def make_withdrawal_row(one: WithdrawnArm, study: Study) -> list[TableCell]:
    """What was withdrawn, how it had scored, when and why."""
    scores = [run.get_score(MACRO, study.tasks) if run.done else None for run in one.runs]
    average = mean_or_none(scores)
    finished = sum(run.done for run in one.runs)
    again = ", planned again since" if one.planned_again else ""
    return [
        TableCell(one.label if one.whole else f"{one.label}, one run"),
        TableCell(one.question or "references"),
        TableCell(", ".join(str(run.seed) for run in one.runs)),
        TableCell(f"{finished} of {len(one.runs)} finished"),
        TableCell(", ".join(run.folder.name for run in one.runs), mark="hash"),
        TableCell(DASH if average is None else f"{100 * average:.1f}", average),
        TableCell(f"{one.time[:10]}{again}"),
        TableCell(one.reason),
    ]
