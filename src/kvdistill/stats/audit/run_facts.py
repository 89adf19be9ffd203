"""What `looked`, `failed` and `deleted` events hold: where the runs of a study are."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.errors import ArtifactError
from kvdistill.files import is_complete, sha256
from kvdistill.history import Event, History
from kvdistill.plan.study_plan import Question, RunEntry, StudyPlan
from kvdistill.status import read_status


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
            if (seeds := list_finished_seeds(question, plan.runs, finished))
        },
    }


def list_finished_seeds(
    question: Question, runs: Mapping[str, RunEntry], finished: Mapping[str, str]
) -> list[int]:
    """The seeds of the trained arm with most of them, all finished: what a comparison can read."""
    arms = [
        sorted(map(int, seeds))
        for seeds in question.arms.values()
        if seeds and all(i in finished and runs[i].trained for i in seeds.values())
    ]
    return max(arms, key=len, default=[])


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
        str(event.facts.get("name")).rpartition("-")[2]
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
