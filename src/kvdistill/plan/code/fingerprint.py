"""The fingerprint of the code that a job's science executes, and where two fingerprints differ.

Two runs that reach a module in two versions were not made alike, whatever their configs say.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kvdistill.config.build import walk_targets
from kvdistill.garbage import pause_garbage_collection
from kvdistill.plan.code.reach import (
    PackageCode,
    list_named_functions,
    slice_builder,
)
from kvdistill.plan.code.syntax import DIGEST_DIGITS
from kvdistill.plan.graph import RUN_KINDS, Node
from kvdistill.plan.teaching.reading import select_readers

TRAINING = "train_run"
"""The function of jobs/builders.py that a run leaves out whose arm does not train."""
UNTRAINED_GROUPS = ("student", "data", "tasks")
"""What of its config a run reads that trains nothing."""
UNKNOWN_CODE = "made before code was recorded"
"""In the place of a module where only one of two has code on record."""
STORE_NAME = "kv-"
"""What the name of a store begins with."""
ABSENT = ""
"""The version of what one of two codes does not have."""

Versions = dict[str, set[str]]
"""A module, task file or artefact -> the digests it was met with."""


@dataclass(frozen=True)
class CodeFingerprint:
    """The code that made a run or artefact, or that would make it now."""

    modules: Mapping[str, str]
    """Dotted name of a module, or path of a task file in the package -> its digest."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Name of each artefact that it read -> fingerprint of the code that made that."""
    earlier: Sequence[Mapping[str, str]] = ()
    """Modules of other code that did a part of the work, before a job was stopped and resumed."""

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits of its own modules."""
        lines = "".join(f"{name} {self.modules[name]}\n" for name in sorted(self.modules))
        return hashlib.sha256(lines.encode()).hexdigest()[:DIGEST_DIGITS]

    def to_json(self) -> dict[str, Any]:
        """As manifests and plan.json have it."""
        node = {"fingerprint": self.fingerprint, "modules": dict(sorted(self.modules.items()))}
        node |= {"needs": dict(self.needs)} if self.needs else {}
        return node | ({"earlier": list(self.earlier)} if self.earlier else {})

    @classmethod
    def from_json(cls, node: Any) -> "CodeFingerprint | None":
        """The same way back; None for what was made before code was recorded."""
        if not isinstance(node, Mapping) or "modules" not in node:
            return None
        return cls(node["modules"], node.get("needs", {}), node.get("earlier", ()))

    def find_changes(self, other: "CodeFingerprint", *, same_recipe: bool = False) -> Versions:
        """What both reach, or one resumed with, in more than one version.

        Two arms reach different modules, which is what they compare; with `same_recipe` a module
        that only one of them has is a change too.
        """
        changes: Versions = {}
        for one, two in ((self.modules, other.modules), pair_needs(self.needs, other.needs)):
            names = {*one, *two} if same_recipe and one and two else {*one} & {*two}
            for name in sorted(names):
                versions = {one.get(name, ABSENT), two.get(name, ABSENT)}
                if len(versions) > 1:
                    changes[name] = versions
        for code in (self, other):
            for part in code.earlier:
                for name in sorted({*part} & {*code.modules}):
                    if part[name] != code.modules[name]:
                        changes.setdefault(name, set()).update({part[name], code.modules[name]})
        return changes


def pair_needs(
    one: Mapping[str, str], other: Mapping[str, str]
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """What two runs read, to be compared; without stores where only one of them reads any.

    The other read its teachers live, which is the same science (source=auto).
    """
    left, right = (
        {name: code for name, code in needs.items() if not name.startswith(STORE_NAME)}
        for needs in (one, other)
    )
    both_or_neither = (left == one) == (right == other)
    return (one, other) if both_or_neither else (left, right)


def compare_codes(
    one: CodeFingerprint | None, other: CodeFingerprint | None, *, same_recipe: bool = False
) -> Versions:
    """`find_changes` of codes that may be unknown: None is made before code was recorded.

    Two unknown ones are taken for one, as nothing on record says otherwise.
    """
    if one is None and other is None:
        return {}
    if one is None or other is None:
        return {UNKNOWN_CODE: {ABSENT, "recorded"}}
    return one.find_changes(other, same_recipe=same_recipe)


def name_changes(changes: Iterable[str], shown: int = 6) -> str:
    """The names of what changed, without the package's, the first few."""
    names = [name.removeprefix("kvdistill.") for name in changes]
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more}"


def fingerprint_node(
    node: Node, needs: Mapping[str, str] | None = None, code: PackageCode | None = None
) -> CodeFingerprint:
    """The code of a job as it stands now.

    Args:
        node: the run or artefact.
        needs: as `CodeFingerprint` has it.
        code: the package's files, read once for all nodes of a command.

    Raises:
        ConfigError: for a module that no Python could run.
    """
    code = code or PackageCode()
    groups, without = node.recipe, frozenset[str]()
    if node.kind in RUN_KINDS:
        groups = select_readers(groups)
    if node.kind == "run" and not node.recipe["trained"]:
        groups = {key: node.recipe[key] for key in UNTRAINED_GROUPS}
        without = frozenset({TRAINING})
    # Trees of syntax hold no circles, and looking for them takes longest.
    with pause_garbage_collection():
        functions, imported = slice_builder(code.read_builders(), node.kind, without)
        tasks = code.read_task_files(groups.get("tasks") or {})
        targets = [str(each["_target_"]) for _, each in walk_targets("", groups)]
        reached = code.trace_modules([*imported, *targets, *list_named_functions(tasks)])
    files = {path: hash_bytes(content) for path, content in tasks.items()}
    return CodeFingerprint({**functions, **reached, **files}, needs or {})


def hash_bytes(content: bytes) -> str:
    """Of a file that is no module."""
    return hashlib.sha256(content).hexdigest()[:DIGEST_DIGITS]
