"""How a question's arms were tuned: trials by arm, the winners, their spread, and best-so-far."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from kvdistill.plan.tuning.choose import COLUMNS, average_measure
from kvdistill.plan.tuning.draw import describe_point
from kvdistill.plan.tuning.record import Trial, TunedArm, Tuning
from kvdistill.report.figures.style import ArmStyle, RenderedFigure, make_arm_styles
from kvdistill.report.page_data import TuningSection
from kvdistill.report.table import DASH, ReportTable, TableCell, make_number_cell
from kvdistill.report.tuning.best_so_far import AXIS_NAMES, compute_best_so_far, draw_best_so_far
from kvdistill.stats.study import QuestionRecords, Study

DIVERGED = "diverged"
EDGE_VALUES = 3
"""Values of a setting from which on one that lies between others can win."""


def list_tuning_sections(study: Study, styles: Mapping[str, ArmStyle]) -> Iterator[TuningSection]:
    """One of each question whose arms were tuned and chosen."""
    for question in study.questions.values():
        arms = question.tuning.arms.values() if question.tuning is not None else ()
        if any(arm.winner is not None for arm in arms):
            yield build_tuning_section(question, styles)


def build_tuning_section(
    question: QuestionRecords, styles: Mapping[str, ArmStyle]
) -> TuningSection:
    """The words, tables and figure of one question's tuning."""
    tuning = question.tuning
    assert tuning is not None
    own_styles = make_arm_styles(tuning.arms) | {
        k: v for k, v in styles.items() if k in tuning.arms
    }
    return TuningSection(
        name=question.name,
        sentences=[*list_sentences(question, tuning)],
        winners=tabulate_chosen(question.name, tuning),
        trials=tabulate_tried(question.name, tuning),
        figure=draw_tuning(question.name, tuning, own_styles),
    )


def list_sentences(question: QuestionRecords, tuning: Tuning) -> Iterator[str]:
    """What was done, by which rule, and what an arm could not vary."""
    design = tuning.design
    seeds = ", ".join(map(str, design["seeds"]))
    confirming = sorted(
        {seed for arm in question.arms.values() if arm.trained for seed in arm.runs}
    )
    confirmed = ", ".join(map(str, confirming)) or "none yet"
    yield (
        f"Every arm had {design['trials']} trials of its training, each with the tuning seeds "
        f"{seeds}, on the validation texts alone: no test item was scored or stored. The winner is "
        f"the trial with {tuning.rule}. It was frozen before anything was confirmed, which other "
        f"seeds did: {confirmed}."
    )
    for label, arm in tuning.arms.items():
        if arm.left_out:
            yield f"{label} cannot vary {', '.join(arm.left_out)}; its trials vary the rest."
        if edges := [*list_edges(arm)]:
            yield (
                f"{label}'s winner has {' and '.join(edges)} that its trials had: beyond it "
                f"nothing was tried, and it may have a better point there."
            )


def list_edges(arm: TunedArm) -> Iterator[str]:
    """Numbers of the winner's that no trial went beyond on one side, of three or more values."""
    for name, value in (arm.chosen or {}).items():
        tried = {trial.settings[name] for trial in arm.trials}
        if len(tried) < EDGE_VALUES or not all(isinstance(each, int | float) for each in tried):
            continue
        if value in (min(tried), max(tried)):
            yield f"the {'smallest' if value == min(tried) else 'largest'} {name}={value:g}"


def tabulate_chosen(name: str, tuning: Tuning) -> ReportTable:
    """A row an arm: its winner, what that measured, and how far its trials lie apart."""
    column = COLUMNS[tuning.design["measure"]]
    return ReportTable(
        f"{name}_tuning",
        f"Trials and winner of each arm: {AXIS_NAMES[column]}",
        ["arm", "trials", "chosen", "winner", "best of the others", "median", "SD over trials",
         "diverged", "sha256 of the choice"],
        [make_winner_row(label, arm, column) for label, arm in tuning.arms.items()],
        "Means over the tuning seeds. A winner's own is the best of several, so it flatters: what "
        "an arm is worth is what fresh seeds say.",
        numeric=[False, True, False, True, True, True, True, True, False],
    )  # fmt: skip


def make_winner_row(label: str, arm: TunedArm, column: str) -> list[TableCell]:
    """One arm."""
    means = [average_measure(trial, column) for trial in arm.trials]
    known = [mean for mean in means if mean is not None]
    winner = None if arm.winner is None else means[arm.winner]
    others = [m for place, m in enumerate(means) if m is not None and place != arm.winner]
    second = (min if column == COLUMNS["ce"] else max)(others) if others else None
    return [
        TableCell(label),
        TableCell(str(len(arm.trials)), len(arm.trials)),
        TableCell(describe_point(arm.chosen) if arm.chosen is not None else DASH),
        make_number_cell(winner, "{:.4f}".format),
        make_number_cell(second, "{:.4f}".format),
        make_number_cell(float(np.median(known)) if known else None, "{:.4f}".format),
        make_number_cell(float(np.std(known, ddof=1)) if len(known) > 1 else None, "{:.4f}".format),
        TableCell(str(len(means) - len(known)), len(means) - len(known)),
        TableCell(arm.sha256[:16]),
    ]


def tabulate_tried(name: str, tuning: Tuning) -> ReportTable:
    """A row a trial of each arm, in the order in which they were drawn."""
    seeds = [str(seed) for seed in tuning.design["seeds"]]
    column = COLUMNS[tuning.design["measure"]]
    rows = []
    for label, arm in tuning.arms.items():
        best = compute_best_so_far(list_means(arm, column), rising=column != COLUMNS["ce"])
        for place, trial in enumerate(arm.trials):
            rows.append(
                [
                    TableCell(label),
                    TableCell(str(place + 1), place + 1),
                    TableCell(describe_point(trial.settings), mark="best" * (place == arm.winner)),
                    *(make_measured_cell(trial, seed, column) for seed in seeds),
                    make_number_cell(average_measure(trial, column), "{:.4f}".format),
                    make_number_cell(float(best[place]), "{:.4f}".format),
                    TableCell("chosen" if place == arm.winner else ""),
                ]
            )
    return ReportTable(
        f"{name}_trials",
        f"Every trial: {AXIS_NAMES[column]}",
        ["arm", "trial", "settings", *(f"seed {seed}" for seed in seeds), "mean", "best so far",
         "chosen"],
        rows,
        numeric=[False, True, False, *(True for _ in seeds), True, True, False],
    )  # fmt: skip


def make_measured_cell(trial: Trial, seed: str, column: str) -> TableCell:
    """What one run of a trial measured."""
    measured = trial.measured.get(seed)
    if seed in trial.measured and measured is None:
        return TableCell(DIVERGED, mark="bad")
    return make_number_cell(None if measured is None else measured[column], "{:.4f}".format)


def list_means(arm: TunedArm, column: str) -> np.ndarray:
    """The mean of each trial over the tuning seeds; NaN where one diverged."""
    means: Sequence[float | None] = [average_measure(trial, column) for trial in arm.trials]
    return np.array([np.nan if mean is None else mean for mean in means], dtype=float)


def draw_tuning(name: str, tuning: Tuning, styles: Mapping[str, ArmStyle]) -> RenderedFigure:
    """Best-so-far of every arm, with its numbers."""
    column = COLUMNS[tuning.design["measure"]]
    values = {
        label: [average_measure(trial, column) for trial in arm.trials]
        for label, arm in tuning.arms.items()
    }
    best = {
        label: compute_best_so_far(list_means(arm, column), rising=column != COLUMNS["ce"])
        for label, arm in tuning.arms.items()
    }
    rows = [
        [
            TableCell(str(place + 1), place + 1),
            *(
                make_number_cell(float(line[place]) if place < len(line) else None, "{:.4f}".format)
                for line in best.values()
            ),
        ]
        for place in range(max(len(line) for line in best.values()))
    ]
    data = ReportTable(
        f"{name}_best_so_far", f"Best so far: {AXIS_NAMES[column]}", ["trial", *best], rows
    )
    return draw_best_so_far(f"{name}_best_so_far", column, values, styles, data)
