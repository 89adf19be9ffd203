"""The code as it is when jobs are started, so that an edit while they wait changes nothing.

ROOT/code/HASH holds the package alone. It is named by its content: the same code is one folder,
and the folder of an earlier submission is never written again.
"""

import atexit
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import kvdistill
from kvdistill import layout, manifest
from kvdistill.files import write_json

PACKAGE = Path(kvdistill.__file__).parent


def list_source_files(package: Path = PACKAGE) -> list[Path]:
    """Every file of the package but what Python wrote itself, in a fixed order.

    New files count before git knows them: a job must not miss the strategy it is to try. Hidden
    files and links are no code: they may hold, or lead to, a token.
    """
    files = (p for p in package.rglob("*") if p.is_file() and not p.is_symlink())
    names = ((path.relative_to(package).parts, path) for path in files)
    return sorted(
        path for parts, path in names
        if "__pycache__" not in parts and not any(part.startswith(".") for part in parts)
    )  # fmt: skip


def hash_package(package: Path = PACKAGE) -> str:
    """Twelve hex digits of the package's content."""
    digest = hashlib.sha256()
    for path in list_source_files(package):
        digest.update(f"{path.relative_to(package).as_posix()}\0".encode())
        # Hash of hashes: no file's end can be taken for another's beginning.
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def take_snapshot(root: Path, package: Path = PACKAGE) -> Path:
    """ROOT/code/HASH, for a job's PYTHONPATH; copied if it is not there yet."""
    place = layout.code_folder(root).resolve()
    folder = place / hash_package(package)
    if folder.is_dir():
        return folder
    partial = place / f".{folder.name}.{os.getpid()}.part"
    for path in list_source_files(package):
        copy = partial / package.name / path.relative_to(package)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    # Of the copy: a file may have been edited between hashing and copying.
    folder = place / hash_package(partial / package.name)
    write_json(partial / layout.ORIGIN, {**manifest.read_code_origin(), "code": folder.name})
    try:
        # A folder appears whole, or not at all: jobs of another submission may import from it.
        partial.rename(folder)
    except OSError:  # another submission was first, with the same content
        shutil.rmtree(partial)
    return folder


def take_early_snapshot(root: Path) -> Path:
    """The copy below `root`, where it is there; else one that ends with this process.

    For a command that may yet be refused, which leaves nothing below its root.
    """
    known = layout.code_folder(root).resolve() / hash_package()
    return known if known.is_dir() else take_temporary_snapshot()


def take_temporary_snapshot() -> Path:
    """A copy that ends with this process."""
    root = Path(tempfile.mkdtemp(prefix="kvdistill-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return take_snapshot(root)
