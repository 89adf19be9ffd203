"""code.json: which code works on a folder, written when its job starts and read when it resumes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.files import read_json, write_json
from kvdistill.plan.code.fingerprint import CodeFingerprint, fingerprint_node
from kvdistill.plan.graph import Node


def record_code(
    folder: Path, node: Node, manifests: Mapping[str, Mapping[str, Any]]
) -> CodeFingerprint:
    """The code of this process, with other code that did a part of the job which is kept.

    Args:
        folder: of the run or artefact.
        node: what was frozen there.
        manifests: of the artefacts it reads, by role.
    """
    needs = {node.needs[role]: read_fingerprint(manifest) for role, manifest in manifests.items()}
    code = fingerprint_node(node, needs)
    if (before := read_code_record(folder)) is not None:
        earlier = list(before.earlier)
        # Not by what stands in `earlier`: that is on record already.
        if replace(before, earlier=()).find_changes(code, same_recipe=True):
            earlier.append(before.modules)
        code = replace(code, earlier=earlier)
    write_json(folder / layout.CODE, code.to_json())
    return code


def read_code_record(folder: Path) -> CodeFingerprint | None:
    """The code that left work in an unfinished folder with which a job would go on.

    None where there is none, or where it was left before code was recorded.
    """
    checkpoints = folder / layout.CHECKPOINTS
    kept = any(folder.glob(layout.SHARDS)) or any(checkpoints.glob("*"))
    kept = kept or (folder / layout.TRAINED).is_file()
    path = folder / layout.CODE
    return CodeFingerprint.from_json(read_json(path)) if kept and path.is_file() else None


def read_fingerprint(manifest: Mapping[str, Any]) -> str:
    """Of the code that made an artefact; empty where it was made before code was recorded."""
    code = CodeFingerprint.from_json(manifest.get("code"))
    return code.fingerprint if code is not None else ""
