"""How far the student's K and V are explained, beside the same against another text's teacher."""

from collections.abc import Mapping, Sequence

from kvdistill.report.format import format_signed
from kvdistill.report.table import ReportTable, TableCell, make_number_cell, mean_or_none
from kvdistill.stats.curves import name_teachers
from kvdistill.stats.study import Arm, Run

NOTE = (
    "R\u00b2, mean over layers, keys and values, and over seeds, on texts that nothing was fitted "
    "on. Before training: how well the fitted projection reaches the student's K and V from the "
    "teacher's. After: how much of the fused target the trained student's K and V explain. "
    "Shuffled: the same with each text facing another text's teacher, that is position and common "
    "structure alone; what the teacher says of this text is the rest."
)
HELD_OUT, SHUFFLED = "held_out_r2", "shuffled_r2"


def tabulate_agreement(arms: Mapping[str, Arm]) -> ReportTable:
    """A row an arm that matched K and V: before training by teacher, and after it."""
    runs_by_arm = {label: list_matched_runs(arm) for label, arm in arms.items()}
    rows = []
    for label, runs in runs_by_arm.items():
        for role, teacher in name_teachers(runs[0]).items() if runs else ():
            fits = [run.budget.get("projection", {}).get(role, {}) for run in runs]
            rows.append(make_agreement_row(label, f"{teacher}, before", fits))
        if runs:
            after = [run.budget.get("agreement", {}) for run in runs]
            rows.append(make_agreement_row(label, "fused target, after", after))
    return ReportTable(
        "agreement",
        "Agreement of K and V with the teachers, and its shuffled control",
        ["arm", "with", "held-out R\u00b2", "shuffled R\u00b2", "of this text"],
        rows,
        NOTE,
        numeric=[False, False, True, True, True],
    )


def list_matched_runs(arm: Arm) -> list[Run]:
    """The arm's distinct runs that say how far their K and V agree."""
    return [run for run in arm.distinct_runs() if run.budget.get("agreement")]


def make_agreement_row(
    label: str, subject: str, scores: Sequence[Mapping[str, float | None]]
) -> list[TableCell]:
    """Means over seeds of the R\u00b2, of its control, and of what one is above the other."""
    own = mean_or_none([each.get(HELD_OUT) for each in scores])
    other = mean_or_none([each.get(SHUFFLED) for each in scores])
    above = None if own is None or other is None else own - other
    numbers = [make_number_cell(value, write_r2) for value in (own, other, above)]
    return [TableCell(label), TableCell(subject), *numbers]


def write_r2(value: float | int) -> str:
    """Three digits; a fit that is worse than the mean has a minus sign."""
    return format_signed(value, 3).removeprefix("+")
