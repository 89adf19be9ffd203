"""Files that are whole or absent: written beside their place, then renamed into it."""

import hashlib
import json
import os
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.errors import ArtifactError

PARTS = ".*.part"
"""Pattern of the names under which files are written before they are renamed into their place."""


def write_text(path: Path, text: str) -> None:
    """Writes the file in one step: a reader sees the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def remove_parts(folder: Path) -> None:
    """Removes what a process killed in the middle of `write_text` left in the folder."""
    for beside in folder.glob(PARTS):
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON: no NaN, UTF-8, keys in the order given."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises ArtifactError naming the file when it is missing or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing. Repeat the command that makes it.") from error
    except ValueError as error:
        raise ArtifactError(
            f"{path} is no JSON: {error}. Delete {path} and repeat the command."
        ) from error


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """JSON that carries a hash of itself."""
    write_json(path, value | {"seal": seal(value)})


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` wrote. Raises ArtifactError naming a file that is no longer that."""
    value = read_json(path)
    if not isinstance(value, dict) or value.pop("seal", None) != seal(value):
        raise ArtifactError(
            f"{path} is altered since it was written. Delete {path.parent} and repeat the command."
        )
    return value


def seal(value: Any) -> str:
    """Hash of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def list_changed_files(
    folder: Path, files: Mapping[str, str], hash_file: Callable[[Path], str] | None = None
) -> Iterator[Path]:
    """The files below that are missing, or not as `files` (name -> content hash) has them."""
    for name, expected in files.items():
        path = folder / name
        if not path.is_file() or (hash_file or sha256)(path) != expected:
            yield path


def check_hashes(
    folder: Path, files: Mapping[str, str], hash_file: Callable[[Path], str] | None = None
) -> None:
    """Raises ArtifactError naming the first file below that is not as `files` has it.

    `hash_file` gives a file's content hash: `sha256`, or what knows some without reading them.
    """
    for path in list_changed_files(folder, files, hash_file):
        raise ArtifactError(describe_change(folder, path))


def check_sizes(folder: Path, sizes: Mapping[str, int]) -> None:
    """Raises ArtifactError naming the first file below that has not so many bytes."""
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            raise ArtifactError(describe_change(folder, path))


def describe_change(folder: Path, path: Path) -> str:
    """What is said of an artefact's file that is not as it was built."""
    state = "altered" if path.is_file() else "missing"
    return f"{path} is {state} since it was built. Delete {folder} and repeat the command."


def open_to_umask(folder: Path) -> None:
    """Gives every file below the mode that a file is created with: 0666, less the umask.

    safetensors writes by way of a temporary file that its owner alone may read, and a group that
    shares a root would find weights that it cannot load.
    """
    mode = 0o666 & ~read_umask()
    # What is just being written and renamed may be gone by now, and has the umask's mode.
    for path in [path for path in folder.rglob("*") if not path.match(PARTS)]:
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o777 == 0o600:
            path.chmod(mode)


def read_umask() -> int:
    """The process's umask."""
    # Asked of the kernel where it tells: setting it to read it would be seen by other threads.
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.is_file() else []
    for line in lines:
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def is_complete(folder: Path) -> bool:
    """Whether an artefact or run is finished: its manifest is written last."""
    return (folder / layout.MANIFEST).is_file()


def hashes(folder: Path, but: Container[str] = ()) -> dict[str, str]:
    """Relative name -> content hash of every file below, `but` for some.

    What is just being written, as a job's heartbeat is by a thread of its own, is no file yet.
    """
    paths = [path for path in sorted(folder.rglob("*")) if not path.match(PARTS)]
    names = {path.relative_to(folder).as_posix(): path for path in paths if path.is_file()}
    return {name: sha256(path) for name, path in names.items() if name not in but}


def sha256(path: Path, hash_file: Callable[[Path], str] | None = None) -> str:
    """Content hash of a file, or of a folder's files, each by `hash_file`, with relative names."""
    if path.is_file() and hash_file is not None:
        return hash_file(path)
    if path.is_file():
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.hexdigest()
    digest = hashlib.sha256()
    for file_path in sorted(p for p in path.rglob("*") if p.is_file()):
        name, content = file_path.relative_to(path).as_posix(), sha256(file_path, hash_file)
        digest.update(f"{name}\0{content}\n".encode())
    return digest.hexdigest()
