"""What a plan would reuse, pool or compare that its own code would not have made alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kvdistill import layout
from kvdistill.errors import ArtifactError
from kvdistill.files import is_complete, read_sealed
from kvdistill.jobs.code_record import read_code_record
from kvdistill.plan.code.fingerprint import (
    CodeFingerprint,
    Versions,
    compare_codes,
    fingerprint_node,
    name_changes,
)
from kvdistill.plan.code.reach import PackageCode
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.freeze import find_planned_folder, is_missing
from kvdistill.plan.graph import RUN_KINDS, TRIAL, Node
from kvdistill.plan.labels.arm_labels import read_known_plan

SHOWN_NAMES = 4


@dataclass(frozen=True)
class CodeChange:
    """A run or artefact that other code has made, in whole or in part."""

    name: str
    versions: Versions
    """What of the code is other now."""
    is_planned: bool
    """Whether the command itself asks for it; else it only stands beside what it asks for."""


@dataclass(frozen=True)
class MadeCode:
    """The code of what stands in a folder."""

    code: CodeFingerprint | None
    """None: it was made before code was recorded."""


def read_made_code(folder: Path) -> MadeCode | None:
    """Of a finished folder, or of one that a job would go on with; None of any other.

    A manifest that cannot be read is the report's to name, and its run nothing to reuse.
    """
    if not is_complete(folder):
        begun = read_code_record(folder)
        return MadeCode(begun) if begun is not None else None
    try:
        manifest = read_sealed(folder / layout.MANIFEST)
    except ArtifactError:
        return None
    return MadeCode(CodeFingerprint.from_json(manifest.get("code")))


def list_nodes(plan: Plan) -> list[Node]:
    """Every artefact and run of the plan, each after what it needs."""
    return [*plan.artifacts.values(), *(run.node for run in plan.runs.values())]


def find_node_folder(plan: Plan, node: Node) -> Path:
    """Where a run or artefact of the plan lies."""
    if node.kind in RUN_KINDS:
        return find_planned_folder(plan, node.name)
    return layout.artifact_folder(plan.root, node.name)


def find_planned_changes(plan: Plan) -> Iterator[CodeChange]:
    """What stands of the plan, finished or begun, that its code now would make otherwise.

    Fills `plan.code` on the way.
    """
    code = PackageCode()
    makers: dict[str, str] = {}
    for node in list_nodes(plan):
        needs = {name: makers[name] for name in node.needs.values() if name in makers}
        plan.code[node.name] = now = fingerprint_node(node, needs, code)
        made = read_made_code(find_node_folder(plan, node))
        makers[node.name] = now.fingerprint
        if made is not None:
            makers[node.name] = made.code.fingerprint if made.code is not None else ""
            if versions := compare_codes(made.code, now, same_recipe=True):
                yield CodeChange(node.name, versions, is_planned=True)


def renew_needs(plan: Plan) -> None:
    """In `plan.code`, what is made anew was made by the code as it is now."""
    for name, code in plan.code.items():
        new = {need: plan.code[need].fingerprint for need in code.needs if need in plan.remade}
        plan.code[name] = replace(code, needs={**code.needs, **new})


def find_neighbour_changes(plan: Plan) -> Iterator[CodeChange]:
    """Finished runs of the plan's questions that it does not ask for, where its new runs differ.

    A retry has no questions of its own: those of the study that hold its runs count.
    """
    known = read_known_plan(plan.root, plan.study)
    new = {
        identity: plan.code[run.node.name]
        for identity, run in plan.runs.items()
        if is_missing(plan, run.node.name)
    }
    neighbours: dict[str, Versions] = {}
    for name, question in known.questions.items():
        asked = plan.questions.get(name, question).identities()
        # Replicates have one code, whatever their seed.
        codes = {repr(new[each]): new[each] for each in asked if each in new}
        for identity in {*question.identities()} - {*plan.runs} if codes else ():
            folder = plan.root / known.runs[identity].folder
            made = read_made_code(folder) if is_complete(folder) else None
            for code in codes.values() if made is not None else ():
                assert made is not None
                for module, digests in compare_codes(made.code, code).items():
                    neighbours.setdefault(folder.name, {}).setdefault(module, set()).update(digests)
    for name in sorted(neighbours):
        yield CodeChange(name, neighbours[name], is_planned=False)


def describe_changes(changes: Sequence[CodeChange]) -> str:
    """`made by other code: MODULES (N runs: ...)`, one part a set of modules."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for change in changes:
        groups.setdefault(tuple(sorted(change.versions)), []).append(change.name)
    parts = []
    for modules, names in groups.items():
        more = " ..." if len(names) > SHOWN_NAMES else ""
        listed = f"{', '.join(names[:SHOWN_NAMES])}{more}"
        parts.append(f"{name_changes(modules)} ({count_names(names)}: {listed})")
    return f"made by other code: {'; '.join(parts)}"


def count_names(names: Sequence[str]) -> str:
    """`2 runs`, `1 run and 3 artefacts`."""
    runs = sum(name.startswith(("seed", "untrained-")) for name in names)
    trials = sum(name.startswith(TRIAL) for name in names)
    counts = {"run": runs, "trial": trials, "artefact": len(names) - runs - trials}
    words = [f"{n} {word}{'s' if n > 1 else ''}" for word, n in counts.items() if n]
    return " and ".join(words)
