"""What commands append to the root's record: what they ask, what they saw, what became of runs."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.errors import ArtifactError
from kvdistill.files import is_complete, sha256
from kvdistill.history import Event, History, append_event, read_history
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.study_plan import Question, RunEntry, StudyPlan
from kvdistill.stats.audit.tuning import list_trials
from kvdistill.stats.hypotheses import hash_claim
from kvdistill.status import read_status

CLAIMS = ("hypotheses", "criteria")


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
    earlier = read_history(plan.root).select(plan.study, "planned")
    facts = describe_plan(plan)
    if earlier and all(earlier[-1].facts.get(key) == value for key, value in facts.items()):
        return
    append_event(
        plan.root, plan.study, "planned", command=plan.command,
        before_record=is_known and not earlier, **facts,
    )  # fmt: skip
    for trial in list_trials(plan):
        append_event(plan.root, plan.study, "tuned", **trial)


def describe_plan(plan: Plan) -> dict[str, Any]:
    """What is asked: questions with their claims, arms and seeds, and how they will be judged."""
    stats = plan.config["stats"]
    facts = {
        "questions": {
            name: {
                "text": question.text,
                "primary": question.judging.get("primary"),
                "claims": describe_claims(question.judging),
                "arms": describe_arms(plan, question),
            }
            for name, question in plan.questions.items()
        },
        "claims": describe_claims(stats),
        "settings": describe_settings(stats),
    }
    # As it will be read back: keys are text, tuples are lists.
    as_read: dict[str, Any] = json.loads(json.dumps(facts))
    return as_read


def describe_claims(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The claims of a question or of the stats group, each with its hash."""
    claims = [claim for key in CLAIMS for claim in node.get(key) or ()]
    return [dict(claim) | {"sha256": hash_claim(claim)} for claim in claims]


def describe_settings(stats: Mapping[str, Any]) -> dict[str, Any]:
    """The stats group without its claims."""
    settings = {key: value for key, value in stats.items() if key not in CLAIMS}
    as_read: dict[str, Any] = json.loads(json.dumps(settings))
    return as_read


def describe_arms(plan: Plan, question: Question) -> dict[str, Any]:
    """Label -> its recipe, whether it trains, and its runs by seed."""
    return {
        label: {
            "recipe": plan.runs[next(iter(seeds.values()))].recipe,
            "trained": bool(plan.runs[next(iter(seeds.values()))].config["trained"]),
            "runs": dict(seeds),
        }
        for label, seeds in question.arms.items()
    }


def record_look(root: Path, study: Path, stats: Mapping[str, Any]) -> None:
    """Appends that a report is made, and of what; another look at the same state adds nothing."""
    record_changes(root, study)
    facts = describe_state(root, StudyPlan.read(study)) | {"settings": describe_settings(stats)}
    earlier = read_history(root).select(study.name, "looked")
    if not earlier or earlier[-1].facts != facts:
        append_event(root, study.name, "looked", **facts)


def describe_state(root: Path, plan: StudyPlan) -> dict[str, Any]:
    """How far a study is: its finished runs with the hash of their manifests, states, seeds."""
    folders = {identity: root / entry.folder for identity, entry in plan.runs.items()}
    finished = {
        identity: hash_manifest(folder)
        for identity, folder in folders.items()
        if is_complete(folder)
    }
    states = [read_state(folder) for folder in folders.values()]
    return {
        "finished": finished,
        "planned": len(plan.runs),
        "states": {state: states.count(state) for state in sorted(set(states))},
        "judged": {
            name: seeds
            for name, question in plan.questions.items()
            if (seeds := list_judged_seeds(question, plan.runs, finished))
        },
    }


def list_judged_seeds(
    question: Question, runs: Mapping[str, RunEntry], finished: Mapping[str, str]
) -> list[int]:
    """The seeds of all trained arms whose runs are all finished: what a comparison can read."""
    arms = [
        seeds
        for seeds in question.arms.values()
        if seeds and all(i in finished and runs[i].trained for i in seeds.values())
    ]
    return sorted({int(seed) for seeds in arms for seed in seeds})


def record_changes(root: Path, study: Path) -> None:
    """Appends what became of a study's runs since its record last says: failed, deleted, remade."""
    plan, history = StudyPlan.read(study), read_history(root)
    for facts in list_failures(root, plan, history.select(study.name, "failed")):
        append_event(root, study.name, "failed", **facts)
    for facts in list_deletions(root, plan, history, study.name):
        append_event(root, study.name, "deleted", **facts)


def list_failures(root: Path, plan: StudyPlan, known: list[Event]) -> Iterator[dict[str, Any]]:
    """Runs whose status says failed, each failure once: it stays in the record once mended."""
    times = {(event.facts["run"], event.facts["at"]) for event in known}
    labels = plan.labels()
    for identity, entry in plan.runs.items():
        try:
            status = read_status(root / entry.folder)
        except ArtifactError:  # the report names the folder
            continue
        if status["state"] == "failed" and (identity, status.get("heartbeat")) not in times:
            yield {
                "run": identity,
                "label": labels.get(identity, entry.arm),
                "seed": entry.seed,
                "why": str(status.get("error", "")),
                "cause": str(status.get("cause", "")),
                "at": status.get("heartbeat"),
            }


def list_deletions(
    root: Path, plan: StudyPlan, history: History, study: str
) -> Iterator[dict[str, Any]]:
    """Runs that were finished at the last look and are gone now, or are other files now."""
    looks = history.select(study, "looked")
    if not looks:
        return
    known = {
        (event.facts.get("run"), event.facts.get("was"), event.facts.get("now"))
        for event in history.select(study, "deleted")
    }
    moved = {
        event.facts.get("run")
        for event in history.select(study, "set_aside")
        if event.index > looks[-1].index
    }
    labels = plan.labels()
    for identity, was in looks[-1].facts["finished"].items():
        entry = plan.runs.get(identity)
        if entry is None or identity in moved:
            continue
        now = hash_manifest(root / entry.folder)
        if now != was and (identity, was, now) not in known:
            label = labels.get(identity, entry.arm)
            yield {"run": identity, "label": label, "seed": entry.seed, "was": was, "now": now}


def hash_manifest(folder: Path) -> str:
    """Short hash of a finished run's manifest; empty where there is none."""
    return sha256(folder / layout.MANIFEST)[:16] if is_complete(folder) else ""


def read_state(folder: Path) -> str:
    """The state of a run's status, whatever its folder has become."""
    if not folder.is_dir():
        return "gone"
    try:
        return str(read_status(folder)["state"])
    except ArtifactError:
        return "unreadable"
