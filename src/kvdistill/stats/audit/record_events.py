"""What commands append to the root's record: what they ask, what they saw, what became of runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.history import append_event, read_history
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.labels.arm_labels import read_known_plan
from kvdistill.plan.study_plan import StudyPlan
from kvdistill.stats.audit.plan_facts import describe_plan, describe_settings
from kvdistill.stats.audit.run_facts import describe_state, list_deletions, list_failures
from kvdistill.stats.audit.tuning import list_trials, list_tuned_arms


def record_plan(plan: Plan) -> None:
    """Appends what a command asks before anything of it runs; the same command again adds nothing.

    A plan without questions, as a retry makes it, asks nothing new.
    """
    study = layout.study_folder(plan.root, plan.study)
    is_known = (study / layout.PLAN).is_file()
    if is_known:
        record_changes(plan.root, study)
    if not plan.questions:
        return
    history = read_history(plan.root)
    earlier = history.select(plan.study, "planned")
    facts = describe_plan(plan)
    if earlier and all(earlier[-1].facts.get(key) == value for key, value in facts.items()):
        return
    append_event(
        plan.root, plan.study, "planned", command=plan.command,
        # A study whose arms are being tuned has a plan before anything of it is asked.
        before_record=is_known and not history.select(plan.study), **facts,
    )  # fmt: skip
    for trial in list_trials(plan, read_known_plan(plan.root, plan.study).tunings):
        append_event(plan.root, plan.study, "tuned", **trial)


def record_tuning(plan: Plan) -> None:
    """Appends the trials of each arm before any of them runs; the same trials again add nothing."""
    earlier = [event.facts for event in read_history(plan.root).select(plan.study, "tuned")]
    for facts in list_tuned_arms(plan.tunings):
        if facts not in earlier:
            append_event(plan.root, plan.study, "tuned", **facts)


def record_look(root: Path, study: Path, stats: Mapping[str, Any]) -> None:
    """Appends that a report is made, and of what; another look at the same state adds nothing."""
    record_changes(root, study)
    facts = describe_state(root, StudyPlan.read(study)) | {"settings": describe_settings(stats)}
    earlier = read_history(root).select(study.name, "looked")
    if not earlier or earlier[-1].facts != facts:
        append_event(root, study.name, "looked", **facts)


def record_changes(root: Path, study: Path) -> None:
    """Appends what became of a study's runs since its record last says: failed, deleted, remade."""
    plan, history = StudyPlan.read(study), read_history(root)
    for facts in list_failures(root, plan, history.select(study.name, "failed")):
        append_event(root, study.name, "failed", **facts)
    for facts in list_deletions(root, plan, history, study.name):
        append_event(root, study.name, "deleted", **facts)
