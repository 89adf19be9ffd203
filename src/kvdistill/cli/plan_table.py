"""The table that every command begins with: what will be done, what is reused, equal steps."""

from collections.abc import Iterator, Mapping

from rich.table import Table

from kvdistill import layout
from kvdistill.console import format_count
from kvdistill.files import is_complete
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.freeze import is_missing
from kvdistill.plan.study_plan import walk_arms
from kvdistill.plan.tuning.choose import COLUMNS, average_measure
from kvdistill.plan.tuning.draw import describe_point
from kvdistill.plan.tuning.record import Tuning


def tabulate_plan(plan: Plan) -> Table:
    """A row an artefact, a run of a question, and a reference, with its state."""
    steps = plan.list_unified_steps()
    title = f"study {plan.study}: {count_plan(plan)}"
    if steps:
        title += f", {' or '.join(map(str, steps))} unified steps a trained run"
    caption = "; ".join(describe_matched_arms(plan)) or None
    table = Table("what", "name", "state", title=title, caption=caption)
    for name, node in plan.artifacts.items():
        complete = is_complete(layout.artifact_folder(plan.root, name))
        state = "to build anew" if name in plan.remade else "reused" if complete else "to build"
        table.add_row(node.kind, name, state)
    reasons = {(entry.question, entry.label): entry.reason for entry in plan.labels.known.withdrawn}
    for question, label, identity in walk_arms(plan.questions):
        run = plan.runs[identity]
        reason = reasons.get((question, label))
        before = "" if reason is None else f", withdrawn before: {reason}"
        table.add_row(f"{question}: {label}", run.node.name, run_state(plan, run) + before)
    for teacher, identity in plan.references.items():
        run = plan.runs[identity]
        table.add_row(f"reference: {teacher}", run.node.name, run_state(plan, run))
    return table


def count_plan(plan: Plan) -> str:
    """`9 runs and 2 teachers as they are`: what questions read, each once, and references beside.

    A teacher that a question reads as an arm is one of its runs.
    """
    asked = {identity for _, _, identity in walk_arms(plan.questions)}
    runs, alone = format_count(len(asked), "run"), len(plan.runs) - len(asked)
    return f"{runs} and {format_count(alone, 'teacher')} evaluated as is" if alone else runs


def describe_matched_arms(plan: Plan) -> Iterator[str]:
    """`equal_flops: sft_flops trains 807 steps, for the FLOPs of multi_teacher's 300`."""
    for name, question in plan.questions.items():
        for label, other in question.matched.items():
            runs = [plan.runs[next(iter(question.arms[each].values()))] for each in (label, other)]
            yield (
                f"{name}: {label} trains {runs[0].steps} steps, for the FLOPs of {other}'s "
                f"{runs[1].steps}"
            )


def run_state(plan: Plan, run: PlannedRun) -> str:
    """Whether a run is finished, in this study or another of its root."""
    if run.node.name in plan.remade:
        return "to run anew"
    return "to run" if is_missing(plan, run.node.name) else "done"


def tabulate_trials(plan: Plan) -> Table:
    """A row an artefact and a trial with its state; what an arm cannot vary stands below."""
    arms = [(name, t, label) for name, t in plan.tunings.items() for label in t.arms]
    each = " and ".join(dict.fromkeys(str(t.design["trials"]) for _, t, _ in arms))
    runs = format_count(len(plan.runs), "run")
    table = Table(
        "what", "settings", "name", "state",
        title=f"study {plan.study}: {each} trials an arm, {runs}, on validation alone",
        caption="; ".join(describe_left_out(plan.tunings)) or None,
    )  # fmt: skip
    for name, node in plan.artifacts.items():
        complete = is_complete(layout.artifact_folder(plan.root, name))
        state = "to build anew" if name in plan.remade else "reused" if complete else "to build"
        table.add_row(node.kind, "", name, state)
    for question, tuning, label in arms:
        for trial in tuning.arms[label].trials:
            for identity in trial.runs.values():
                run = plan.runs[identity]
                point = describe_point(trial.settings)
                table.add_row(f"{question}: {label}", point, run.node.name, run_state(plan, run))
    return table


def describe_left_out(tunings: Mapping[str, Tuning]) -> Iterator[str]:
    """`tuned: sft cannot vary loss.kv_weight`."""
    for question, tuning in tunings.items():
        for label, arm in tuning.arms.items():
            if arm.left_out:
                yield f"{question}: {label} cannot vary {', '.join(arm.left_out)}"


def tabulate_winners(tunings: Mapping[str, Tuning]) -> Table:
    """What was chosen for each arm, by which rule."""
    rules = dict.fromkeys(f"{name}: {tuning.rule}" for name, tuning in tunings.items())
    table = Table("arm", "chosen", "measured", title="tuned", caption="; ".join(rules))
    for question, tuning in tunings.items():
        column = COLUMNS[tuning.design["measure"]]
        for label, arm in tuning.arms.items():
            if arm.winner is not None:
                winner = arm.trials[arm.winner]
                mean = average_measure(winner, column)
                measured = f"{column} {mean:.4f}" if mean is not None else "none"
                table.add_row(f"{question}: {label}", describe_point(winner.settings), measured)
    return table
