"""Where a study is: its runs, and the shared artefacts that those wait for and that are being made.

An artefact (a conversion, a teacher that is trained, a calibration, a store, ...) is shown as a run
is, from its own folder: what it is, its state, how far it is and how fast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from kvdistill import layout
from kvdistill.cluster.run_states import (
    ALIVE,
    RunState,
    read_plan_queue,
    read_planned_states,
    read_run_state,
)
from kvdistill.cluster.slurm_commands import QueuedJob
from kvdistill.console import format_count
from kvdistill.errors import ArtifactError
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.graph import ONLY, STATES, Node
from kvdistill.plan.run_jobs import TRAINING
from kvdistill.plan.study_plan import StudyPlan

ENDED = ("done", "withdrawn", "gone", "unreadable")
"""States of a run that waits for nothing."""
UNTOUCHED = ("done", "planned", "gone")
"""States of an artefact of which nothing is to be seen: it stands, or nobody has begun it."""
OF_MODEL = {
    "model": "making of", TRAINING: "training of", "conversion": "conversion of",
    "calibration": "calibration of", "answers": "answers of", "kv": "store of",
    STATES: "states of",
}  # fmt: skip
"""Kind of an artefact of one model -> how it is called before that model's name."""


@dataclass(frozen=True)
class StudyState:
    """At one look."""

    building: Sequence[RunState]
    """Artefacts that runs wait for, each after what it needs: begun, queued, stopped or failed."""
    runs: Sequence[RunState]

    def is_at_work(self) -> bool:
        """Whether anything of it is queued, running, or between the two."""
        return any(line.state in ALIVE for line in (*self.building, *self.runs))


def read_study_state(root: Path, study: Path) -> StudyState:
    """Runs and trials in the plan's order, each with the artefact that it waits for as its why."""
    plan = StudyPlan.read(study)
    queued = read_plan_queue(root, plan)
    runs = list(read_planned_states(root, plan, queued))
    entries = plan.runs | plan.trials
    needs = {
        line.run: list_needs(root / entries[line.run].folder)
        for line in runs
        if line.state not in ENDED
    }
    building = read_artifact_states(root, needs, queued)
    begun = {line.run: line.label for line in building}
    return StudyState(
        building, [explain_wait(line, needs.get(line.run, ()), begun) for line in runs]
    )


def read_artifact_states(
    root: Path, needs: Mapping[str, Sequence[str]], queued: Mapping[str, QueuedJob] | None
) -> list[RunState]:
    """Of what these runs need, by run, all that is neither done nor untouched."""
    lines = []
    for name in dict.fromkeys(name for names in needs.values() for name in names):
        folder = layout.artifact_folder(root, name)
        try:
            label = describe_artifact(read_frozen(folder))
            line = read_run_state(name, label, None, folder, root, queued)
        except ArtifactError:  # the run that needs it says what is wrong once it gets there
            continue
        if line.state not in UNTOUCHED:
            waiting = sum(name in names for names in needs.values())
            lines.append(
                replace(line, why=line.why or f"{format_count(waiting, 'run')} to read it")
            )
    return lines


def list_needs(folder: Path) -> list[str]:
    """Names of what a run reads, each after what it needs itself; none where it cannot be told."""
    try:
        return list(dict.fromkeys(read_frozen(folder).needs.values()))
    except ArtifactError:
        return []


def explain_wait(line: RunState, needs: Sequence[str], begun: Mapping[str, str]) -> RunState:
    """The line of a run that has not begun, with what it waits for where it says nothing else."""
    awaited = [begun[name] for name in needs if name in begun]
    if line.state not in ("planned", "queued") or line.why or not awaited:
        return line
    return replace(line, why=f"waits for {', '.join(awaited)}")


def describe_artifact(node: Node) -> str:
    """`calibration of qwen`, `conversion of qwen`, `split`."""
    if node.kind not in OF_MODEL:
        return node.kind
    model = node.recipe.get("model") or node.recipe["teachers"][ONLY]
    trains = node.kind == "model" and model["build"].get("training")
    kind = TRAINING if trains else node.recipe.get("holds", node.kind)
    return f"{OF_MODEL[kind]} {model['name']}"


def read_frozen(folder: Path) -> Node:
    """`read_recipe`, once while the file is the same: watching asks again and again."""
    path = folder / layout.CONFIG
    changed = path.stat().st_mtime_ns if path.is_file() else 0
    return _read_version(folder, changed)


@lru_cache(maxsize=4096)
def _read_version(folder: Path, _: int) -> Node:
    return read_recipe(folder)
