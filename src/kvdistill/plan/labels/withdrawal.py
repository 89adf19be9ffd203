"""Withdrawing an arm or a run: out of every comparison, and named for good.

What is withdrawn leaves its question's arms and stands under `withdrawn` in plan.json, with the
reason; folders stay as they are. The same label may be planned again, for the same or another
recipe, and both then show.
"""

from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from kvdistill import history, layout
from kvdistill.errors import ConfigError
from kvdistill.plan.study_plan import StudyPlan, Withdrawal
from kvdistill.status import read_status

TEACHER = "teacher "
"""Before the name of a teacher that is evaluated as it is, as tables have it."""


def withdraw_runs(
    root: Path, study: Path, reason: str, *, label: str | None = None, run: str | None = None
) -> list[Withdrawal]:
    """Withdraws the arms of a label, or one run from every arm, and records it.

    Args:
        root: holds artifacts/ and runs/.
        study: the study's folder.
        reason: printed wherever the withdrawal is.
        label: of the arm, in every question that has it; `QUESTION: LABEL` for one question's.
        run: identity of the run, or its folder's name.

    Returns:
        One entry a question and label.

    Raises:
        ConfigError: where the study has no such label or run.
    """
    with FileLock(study / layout.PLAN_LOCK):
        plan = StudyPlan.read(study)
        identity = None if run is None else run.rpartition("-")[2]
        places = list(find_arms(plan, label) if identity is None else find_run(plan, identity))
        if not places:
            raise ConfigError(describe_unknown(plan, label, run))
        time = history.format_now()
        entries = [
            Withdrawal(question, name, runs, reason, time, identity)
            for question, name, runs in places
        ]
        for entry in entries:
            # Before the plan: a withdrawal that left no trace would be the worse half.
            record_withdrawal(root, study.name, entry)
            take_out(plan, entry)
        plan.withdrawn += entries
        plan.write(study)
    return entries


def withdraw_failures(plan: StudyPlan, root: Path, question: str, label: str) -> None:
    """Takes out an arm of which every attempt has failed, since another recipe has its label.

    The plan alone is changed: whoever writes it records its new withdrawals first.
    """
    runs = dict(plan.questions[question].arms[label])
    statuses = [read_status(root / plan.runs[identity].folder) for identity in runs.values()]
    lines = dict.fromkeys(str(status.get("error", "")) for status in statuses)
    reason = f"failed, and another recipe has its label now: {' '.join(lines)}"
    entry = Withdrawal(question, label, runs, reason, history.format_now())
    take_out(plan, entry)
    plan.withdrawn.append(entry)


def record_withdrawal(root: Path, study: str, entry: Withdrawal) -> None:
    """Appends it to the root's record."""
    history.append_event(
        root, study, "withdrawn", question=entry.question, label=entry.label, runs=entry.runs,
        reason=entry.reason,
    )  # fmt: skip


def find_arms(plan: StudyPlan, label: str | None) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(question, label, seed -> identity) of every arm that the label names."""
    for question, node in plan.questions.items():
        for name, seeds in node.arms.items():
            if label in (name, f"{question}: {name}"):
                yield question, name, dict(seeds)
    for name, identity in plan.references.items():
        if label == f"{TEACHER}{name}":
            yield "", label, {"": identity}


def find_run(plan: StudyPlan, identity: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The same of every arm that has this run, with its seeds alone."""
    for question, node in plan.questions.items():
        for name, seeds in node.arms.items():
            own = {seed: each for seed, each in seeds.items() if each == identity}
            if own:
                yield question, name, own
    for name, each in plan.references.items():
        if each == identity:
            yield "", f"{TEACHER}{name}", {"": identity}


def take_out(plan: StudyPlan, entry: Withdrawal) -> None:
    """Removes what was withdrawn from the plan's questions; an arm without runs goes too."""
    if not entry.question:
        plan.references.pop(entry.label.removeprefix(TEACHER))
        return
    arms = plan.questions[entry.question].arms
    kept = {seed: each for seed, each in arms[entry.label].items() if seed not in entry.runs}
    if kept:
        arms[entry.label] = kept
    else:
        del arms[entry.label]


def describe_unknown(plan: StudyPlan, label: str | None, run: str | None) -> str:
    """What there is to withdraw, where something else was named."""
    if run is not None:
        known = ", ".join(dict.fromkeys([*plan.labels(), *plan.references.values()]))
        return f"run={run} is no run that study={plan.study} reads. It reads {known or 'none'}."
    labels = {name for question in plan.questions.values() for name in question.arms}
    labels |= {f"{TEACHER}{name}" for name in plan.references}
    known = ", ".join(sorted(labels))
    return f"label={label} is no label of study={plan.study}. It has {known or 'none'}."
