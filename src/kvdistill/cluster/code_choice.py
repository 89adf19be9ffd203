"""What becomes of what other code has made, as `code=refuse|rerun|accept` says.

`refuse` goes no further; `rerun` sets it aside, and it is made anew; `accept` goes on, and
plan.json, the root's record and the report say so.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from kvdistill import layout
from kvdistill.cluster.code_changes import (
    CodeChange,
    describe_changes,
    find_neighbour_changes,
    find_planned_changes,
    list_nodes,
    read_made_code,
    renew_needs,
)
from kvdistill.console import label_message
from kvdistill.errors import ConfigError
from kvdistill.history import append_event, format_now
from kvdistill.plan.code.accepted import AcceptedCode
from kvdistill.plan.code.fingerprint import Versions
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.graph import RUN_KINDS, Node
from kvdistill.plan.labels.arm_labels import read_known_plan

CONSEQUENCES = {
    "refuse": "code=refuse computes nothing: give code=rerun or code=accept, or undo the edit",
    "rerun": "code=rerun sets them aside and makes them anew, with what reads them",
    "accept": "code=accept takes them for one, which the report says",
}


def check_plan_code(plan: Plan) -> list[CodeChange]:
    """What other code has made and the command goes on with or makes anew. Writes nothing.

    Gives the plan its code, what `code=rerun` makes anew, and what `code=accept` accepts.

    Raises:
        ConfigError: for other code with `code=refuse`, or that `code=rerun` does not reach.
    """
    choice = plan.config["code"]
    changes = list_code_changes(plan)
    if changes and choice == "refuse":
        raise ConfigError(
            f"{describe_changes(changes)}. code=refuse goes no further: undo the edit, make them "
            f"anew with code=rerun (the old ones are kept), or go on with code=accept, which the "
            f"report then says."
        )
    if choice == "rerun":
        if beside := [change for change in changes if not change.is_planned]:
            raise ConfigError(
                f"{describe_changes(beside)}. code=rerun makes anew what the command asks for, and "
                f"it does not ask for these, with which its runs would be compared. Ask for them "
                f"too, withdraw them, or give code=accept."
            )
    elif changes:
        plan.accepted_code.append(describe_acceptance(changes))
    return changes


def check_node_code(plan: Plan, nodes: Sequence[Node]) -> None:
    """The same for a command that does only these artefacts of a plan, and settled at once."""
    part = Plan(plan.root, plan.study, config=plan.config)
    part.artifacts = {node.name: node for node in nodes}
    settle_changes(part, check_plan_code(part))


def list_code_changes(plan: Plan) -> list[CodeChange]:
    """What other code has made, but for what the study has accepted; `code=rerun` takes all."""
    changes = list(find_planned_changes(plan))
    if plan.config["code"] == "rerun":
        plan.remade = add_readers(plan, {change.name for change in changes})
        renew_needs(plan)
        return [*changes, *find_neighbour_changes(plan)]
    accepted = AcceptedCode(read_known_plan(plan.root, plan.study).accepted_code)
    changes += find_neighbour_changes(plan)
    return [change for change in changes if not accepted.covers(change.versions)]


def add_readers(plan: Plan, names: set[str]) -> set[str]:
    """These names, and whatever reads one of them, itself or through others."""
    reached = set(names)
    for node in list_nodes(plan):
        if {*node.needs.values()} & reached:
            reached.add(node.name)
    return reached


def describe_choice(plan: Plan, changes: Sequence[CodeChange]) -> list[Text]:
    """A warning that names what other code has made, and what the command does about it."""
    if not changes:
        return []
    line = f"{describe_changes(changes)}; {CONSEQUENCES[plan.config['code']]}"
    return [label_message("warning", "yellow", line)]


def describe_acceptance(changes: Sequence[CodeChange]) -> dict[str, Any]:
    """The entry of plan.json: which versions count as one from now on, and for which runs."""
    versions: Versions = {}
    for change in changes:
        for module, digests in change.versions.items():
            versions.setdefault(module, set()).update(digests)
    return {
        "time": format_now(),
        "versions": {module: sorted(digests) for module, digests in versions.items()},
        "runs": sorted(change.name for change in changes),
    }


def settle_changes(plan: Plan, changes: Sequence[CodeChange]) -> None:
    """Sets aside what is made anew, and appends to the root's record what was chosen."""
    for entry in plan.accepted_code:
        append_event(plan.root, plan.study, "code_accepted", **entry)
    modules = {change.name: sorted(change.versions) for change in changes}
    for node in list_nodes(plan):
        if node.name in plan.remade:
            set_aside(plan, node, modules.get(node.name, []))


def set_aside(plan: Plan, node: Node, modules: Sequence[str]) -> None:
    """Moves a folder below the study, where nothing reads it; another study's run stays there."""
    folder = layout.artifact_folder(plan.root, node.name)
    if node.kind in RUN_KINDS:
        folder = layout.run_folder(plan.root, plan.study, node.name)
    if (made := read_made_code(folder)) is None:
        return
    code = made.code.fingerprint if made.code is not None else "unknown"
    target = choose_new_folder(layout.set_aside_folder(plan.root, plan.study), node.name, code)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
    append_event(
        plan.root, plan.study, "set_aside", name=node.name, modules=list(modules), code=code,
        folder=target.relative_to(plan.root).as_posix(),
    )  # fmt: skip


def choose_new_folder(place: Path, name: str, code: str) -> Path:
    """`NAME-CODE`, numbered where the same code was set aside before."""
    number, target = 2, place / f"{name}-{code}"
    while target.exists():
        number, target = number + 1, place / f"{name}-{code}-{number}"
    return target
