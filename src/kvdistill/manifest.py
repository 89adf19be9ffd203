"""manifest.json: written last, so its presence means complete; read back before each use."""

import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.files import (
    check_hashes,
    check_sizes,
    hashes,
    open_to_umask,
    read_json,
    read_sealed,
    write_sealed,
)
from kvdistill.hash_record import make_hasher
from kvdistill.records import SCHEMA_VERSION

UNHASHED_FILES = {
    layout.CODE, layout.CONFIG, layout.HYPOTHESES, layout.STATUS, layout.LOG, layout.JOB,
    layout.TRAINING_JOB, layout.TRAINED, layout.MANIFEST, layout.HASHES,
}  # fmt: skip
"""Files about the job that made an artefact, which may change while the artefact does not."""
PROVEN_BY_READERS = {"kv": layout.SHARDS}
"""Kind of artefact -> its files that are proven where they are read, text by text.

A store is terabytes, and a job begins with a look at their names and sizes alone.
"""
RECORDED_PACKAGES = (
    "torch", "transformers", "tokenizers", "datasets", "hydra-core", "omegaconf", "lm-eval",
    "accelerate", "numpy", "scipy",
)  # fmt: skip


def write_manifest(
    folder: Path, kind: str, needs: Mapping[str, str], facts: dict[str, Any]
) -> None:
    """Completes a folder: what it is, what it read, what made it, and a hash of every file.

    `needs` is name -> identity of each artefact that was read; `facts` are fields of its kind. Of
    files that are `PROVEN_BY_READERS` the sizes stand there instead.
    """
    open_to_umask(folder)
    pattern = PROVEN_BY_READERS.get(kind)
    sizes = (
        {path.name: path.stat().st_size for path in sorted(folder.glob(pattern))} if pattern else {}
    )
    write_sealed(
        folder / layout.MANIFEST,
        {
            "schema_version": SCHEMA_VERSION,
            "kind": kind,
            "name": folder.name,
            "needs": dict(needs),
            **facts,
            "provenance": collect_provenance(),
            "files": hashes(folder, but=UNHASHED_FILES | sizes.keys()),
            **({"sizes": sizes} if sizes else {}),
        },
    )


def verify_artifact(folder: Path) -> dict[str, Any]:
    """The manifest of a complete artefact. Raises ArtifactError naming a file that has changed.

    A large file that was read before, and has not been touched since, is not read again.
    """
    manifest = read_sealed(folder / layout.MANIFEST)
    check_hashes(folder, manifest["files"], make_hasher(folder / layout.HASHES))
    check_sizes(folder, manifest.get("sizes", {}))
    return manifest


def collect_provenance() -> dict[str, Any]:
    """Code, package versions and machine: recorded, never hashed into an identity."""
    return {
        **read_code_origin(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in RECORDED_PACKAGES},
        "machine": platform.platform(),
        "processor": platform.machine(),
        "command": [Path(sys.argv[0]).name],
    }


def read_code_origin() -> dict[str, Any]:
    """The code's git commit, and whether it holds all that runs.

    It does not where a tracked file differs, or the package has a file that is in no commit: a new
    strategy, ignored by git or not. `untracked` names those, from the package on.
    """
    # Jobs run from a copy outside of git, which says of itself where it was copied from.
    origin_path = Path(__file__).parents[1] / layout.ORIGIN
    if origin_path.is_file():
        origin: dict[str, Any] = read_json(origin_path)
        return origin
    commit = run_git("rev-parse", "HEAD")
    # git runs in the package's folder, and lists what lies below it.
    others = run_git("ls-files", "--others", "--exclude=__pycache__", "--exclude=.*") or ""
    untracked = others.splitlines() if commit else []
    edited = run_git("status", "--porcelain", "--untracked-files=no")
    origin = {"git_commit": commit, "git_dirty": bool(edited or untracked)}
    return origin | ({"untracked": untracked} if untracked else {})


def run_git(*arguments: str) -> str | None:
    """The output of a git command in the code's checkout; None where it fails."""
    process = subprocess.run(
        ["git", *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return process.stdout.strip() if process.returncode == 0 else None
