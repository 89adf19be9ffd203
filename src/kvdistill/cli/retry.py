"""stage=retry and stage=cancel: a study's jobs, from its folders alone."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kvdistill.cluster import run_states, slurm_commands
from kvdistill.cluster.slurm import REPORT
from kvdistill.config import trust
from kvdistill.errors import UserError
from kvdistill.files import is_complete, read_json
from kvdistill.plan.expand import Plan, Run
from kvdistill.plan.freeze import thaw
from kvdistill.plan.graph import Node
from kvdistill.status import Status

GONE_S = 120.0
BROKEN = ("failed", "lost", "silent")


def plan_of(root: Path, study: Path, config: dict[str, Any]) -> Plan:
    """The runs of a study that failed, as they were frozen, and the artefacts they need.

    What an arm asks of SLURM beyond the cluster's settings is not frozen; repeat the sweep's own
    command where that matters.
    """
    plan = Plan(root, study.name, config=config)
    entries = read_json(study / "plan.json")["runs"]
    for line in run_states.look(root, study):
        if line.state not in BROKEN:
            continue
        entry = entries[line.run]
        node = thaw(root / entry["folder"])
        recipe = dict(node.recipe)
        needs = list(artifacts(root, node))
        for frozen in (node, *needs):  # it may have come from elsewhere
            trust.check_node(frozen.name, frozen.recipe, config["trust"])
        plan.artifacts |= {need.name: need for need in needs}
        plan.runs[line.run] = Run(node, recipe, entry["recipe"], entry["steps"])
    if not plan.runs:
        raise UserError(f"study={study.name} has no failed run. stage=status shows all.")
    return plan


def artifacts(root: Path, node: Node) -> Iterator[Node]:
    """What a node needs, each after what it needs itself."""
    for name in node.needs.values():
        found = thaw(root / "artifacts" / name)
        yield from artifacts(root, found)
        yield found


def cancel(root: Path, study: Path) -> list[str]:
    """Ends the study's jobs, waiting or running; their ids.

    An artefact that another study's queued run needs is left alone.
    """
    queued = slurm_commands.queue()
    entries = read_json(study / "plan.json")["runs"].values()
    runs = [root / entry["folder"] for entry in entries]
    spared = needed_elsewhere(root, set(runs), queued)
    needs = {need.name for folder in runs for need in artifacts(root, thaw(folder))}
    folders = [*runs, *(root / "artifacts" / name for name in sorted(needs - spared))]
    folders = [folder for folder in folders if not is_complete(folder)]
    ids = slurm_commands.joined(folders, queued)
    report = slurm_commands.recorded(study / "slurm" / REPORT).get("job_id")
    ended = [*ids.values(), *([report] if report in queued else [])]
    slurm_commands.cancel(ended)
    gone(ended)
    for folder in folders:
        if folder.name in ids and not is_complete(folder):
            Status(folder).write("failed", error="cancelled by stage=cancel", cause="cancelled")
    return ended


def gone(ids: list[str]) -> None:
    """Waits until the jobs have left the queue: a running one still speaks while it ends."""
    end = time.monotonic() + GONE_S
    while not slurm_commands.queue().keys().isdisjoint(ids):
        if time.monotonic() > end:
            raise UserError(f"{len(ids)} jobs were cancelled, but still run after {GONE_S:.0f} s.")
        time.sleep(1)


def needed_elsewhere(
    root: Path, own: set[Path], queued: dict[str, slurm_commands.Queued]
) -> set[str]:
    """Names of the artefacts that queued runs of other studies read."""
    others = [path.parent for path in root.glob(f"runs/*/runs/*/{slurm_commands.RECORD}")]
    waiting = slurm_commands.joined((folder for folder in others if folder not in own), queued)
    return {
        need.name
        for folder in others
        if folder.name in waiting
        for need in artifacts(root, thaw(folder))
    }
