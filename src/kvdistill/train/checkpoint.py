"""Checkpoints that are whole or not used.

checksums.json is written last, and only then are older checkpoints rotated away, so that a process
killed at any instant leaves at least one that is whole. What is resumed from is the newest one
whose every file is as it was written, never the one with the highest number alone.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from kvdistill.errors import ArtifactError, UserError
from kvdistill.files import changed, hashes, read_json, write_json
from kvdistill.records import SCHEMA_VERSION

CHECKSUMS = "checksums.json"
KEPT = 2
"""Whole checkpoints that rotation leaves: should the newest be altered, there is one before it."""
PREFIX = "checkpoint-"
"""As transformers names them."""


@dataclass(frozen=True)
class Found:
    """What to resume from."""

    folder: Path | None
    """None: from the beginning."""
    faults: Sequence[str]
    """Newer checkpoints that cannot be used, a sentence each."""


def newest(folder: Path, needs: Mapping[str, Path]) -> Found:
    """The newest whole checkpoint in `folder`.

    Raises ArtifactError where it was trained on other artefacts than `needs` (role -> folder).
    """
    faults: list[str] = []
    for checkpoint in reversed(numbered(folder)):
        wrong = fault(checkpoint)
        if not wrong:
            check_needs(checkpoint, needs)
            return Found(checkpoint, faults)
        faults.append(f"{checkpoint} is not used: {wrong}.")
    return Found(None, faults)


def numbered(folder: Path) -> list[Path]:
    """Checkpoints in `folder`, oldest first, whole or not."""
    found = [path for path in folder.glob(f"{PREFIX}*") if step(path) is not None]
    return sorted(found, key=lambda path: step(path) or 0)


def step(checkpoint: Path) -> int | None:
    """The step in its name."""
    number = checkpoint.name.removeprefix(PREFIX)
    return int(number) if number.isdigit() else None


def fault(checkpoint: Path) -> str:
    """What is wrong with a checkpoint; empty if it is whole."""
    if not (checkpoint / CHECKSUMS).is_file():
        return "it was not written to its end"
    try:
        files = read_json(checkpoint / CHECKSUMS)["files"]
    except (ArtifactError, KeyError, TypeError):
        return f"{CHECKSUMS} cannot be read"
    for path in changed(checkpoint, files):
        state = "not as it was written" if path.is_file() else "missing"
        return f"{path.relative_to(checkpoint).as_posix()} is {state}"
    return ""


def check_needs(checkpoint: Path, needs: Mapping[str, Path]) -> None:
    """Refuses a checkpoint that was trained on other artefacts."""
    trained_on = read_json(checkpoint / CHECKSUMS)["needs"]
    for role, need in needs.items():
        if trained_on.get(role) != need.name:
            raise ArtifactError(
                f"{checkpoint} was trained with {role} {trained_on.get(role)}, but the run reads "
                f"{need.name}. Delete {checkpoint.parent} to train from the beginning."
            )


def seal(checkpoint: Path, needs: Mapping[str, Path]) -> None:
    """Completes a checkpoint whose every other file is written."""
    write_json(
        checkpoint / CHECKSUMS,
        {
            "schema_version": SCHEMA_VERSION,
            "needs": {role: need.name for role, need in needs.items()},
            "files": hashes(checkpoint),
        },
    )


def rotate(folder: Path) -> None:
    """Removes all but the last whole checkpoints, and what was never finished before them."""
    whole = [path for path in numbered(folder) if (path / CHECKSUMS).is_file()]
    for checkpoint in numbered(folder):
        if checkpoint not in whole[-KEPT:]:
            remove(checkpoint)


def remove(checkpoint: Path) -> None:
    """Its checksums go first: what is left of it if this is cut short is no checkpoint."""
    (checkpoint / CHECKSUMS).unlink(missing_ok=True)
    shutil.rmtree(checkpoint, ignore_errors=True)


@contextmanager
def writing(checkpoint: Path) -> Iterator[None]:
    """Turns a failed write into one clear line, and leaves nothing of the checkpoint behind."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        remove(checkpoint)
        free = shutil.disk_usage(checkpoint.parent).free
        raise UserError(
            f"{checkpoint} could not be written ({' '.join(str(error).split())}); {free} bytes are "
            f"free there. Make room and repeat the command: it continues from the last checkpoint."
        ) from error
