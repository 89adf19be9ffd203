"""Checkpoints that are either whole or not used.

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
from safetensors.torch import load_model, save_file, save_model
from torch import nn

from kvdistill.errors import ArtifactError, UserError
from kvdistill.files import hashes, list_changed_files, open_to_umask, read_json, write_json
from kvdistill.records import SCHEMA_VERSION

CHECKSUMS = "checksums.json"
WEIGHTS = "distiller.safetensors"
STUDENT = "student."
SAVE_TOTAL_LIMIT = 2
"""Whole checkpoints that rotation leaves: where the newest is damaged, the one before is used."""
PREFIX = "checkpoint-"
"""Of a checkpoint's folder, before the step; as transformers names them."""


@dataclass(frozen=True)
class ResumePoint:
    """What to resume from."""

    folder: Path | None
    """None: from the beginning."""
    faults: Sequence[str]
    """Newer checkpoints that cannot be used, a sentence each."""


def find_newest(folder: Path, needs: Mapping[str, Path]) -> ResumePoint:
    """The newest whole checkpoint in `folder`; every file of a candidate is hashed.

    Raises ArtifactError where it was trained on other artefacts than `needs` (role -> folder).
    """
    faults: list[str] = []
    for checkpoint in reversed(list_checkpoints(folder)):
        reason = describe_fault(checkpoint)
        if not reason:
            check_needs(checkpoint, needs)
            return ResumePoint(checkpoint, faults)
        faults.append(f"{checkpoint} is not used: {reason}.")
    return ResumePoint(None, faults)


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in `folder`, oldest first, whole or not."""
    checkpoints = [path for path in folder.glob(f"{PREFIX}*") if parse_step(path) is not None]
    return sorted(checkpoints, key=lambda path: parse_step(path) or 0)


def parse_step(checkpoint: Path) -> int | None:
    """The step in a checkpoint's name; None where the name has none."""
    number = checkpoint.name.removeprefix(PREFIX)
    return int(number) if number.isdigit() else None


def describe_fault(checkpoint: Path) -> str:
    """What is wrong with a checkpoint; empty if it is whole."""
    if not (checkpoint / CHECKSUMS).is_file():
        return "it was not written to its end"
    try:
        files = read_json(checkpoint / CHECKSUMS)["files"]
    except (ArtifactError, KeyError, TypeError):
        return f"{CHECKSUMS} cannot be read"
    # The first changed file is enough.
    for path in list_changed_files(checkpoint, files):
        state = "not as it was written" if path.is_file() else "missing"
        return f"{path.relative_to(checkpoint).as_posix()} is {state}"
    return ""


def check_needs(checkpoint: Path, needs: Mapping[str, Path]) -> None:
    """Raises ArtifactError for a checkpoint that was trained on other artefacts."""
    trained_on = read_json(checkpoint / CHECKSUMS)["needs"]
    for role, need in needs.items():
        if trained_on.get(role) != need.name:
            raise ArtifactError(
                f"{checkpoint} was trained with {role} {trained_on.get(role)}, but the run reads "
                f"{need.name}. Delete {checkpoint.parent} to train from the beginning."
            )


def save_weights(module: nn.Module, folder: Path, *, copied: bool) -> None:
    """A distiller's weights, but for those of its student that training leaves as they were.

    `copied`: each tensor by itself, for one whose tensors lie in one buffer, as DeepSpeed's do.
    """
    frozen = list_frozen_weights(module)
    if not (frozen or copied):
        save_model(module, str(folder / WEIGHTS))  # which knows of tied weights
        return
    weights = {name: x for name, x in module.state_dict().items() if name not in frozen}
    save_file(
        {name: x.clone() if copied else x.contiguous() for name, x in weights.items()},
        folder / WEIGHTS,
    )


def load_weights(module: nn.Module, folder: Path) -> None:
    """Loads what `save_weights` wrote. Raises RuntimeError unless it is all that is trained."""
    missing, unexpected = load_model(module, folder / WEIGHTS, strict=False)
    lost = sorted({*missing} - list_frozen_weights(module))
    if lost or unexpected:
        raise RuntimeError(f"{folder / WEIGHTS} lacks {lost} and has {sorted(unexpected)} beside")


def list_frozen_weights(module: nn.Module) -> set[str]:
    """Names of the student's weights that are not trained: under LoRA nearly all.

    They are those of the artefact that a resumed run reads anyway, gigabytes with each checkpoint.
    """
    return {
        name for name, weight in module.named_parameters(remove_duplicate=False)
        if name.startswith(STUDENT) and not weight.requires_grad
    }  # fmt: skip


def write_checksums(checkpoint: Path, needs: Mapping[str, Path]) -> None:
    """Makes a checkpoint whole; every other file of it must be written."""
    open_to_umask(checkpoint)
    write_json(
        checkpoint / CHECKSUMS,
        {
            "schema_version": SCHEMA_VERSION,
            "needs": {role: need.name for role, need in needs.items()},
            "files": hashes(checkpoint),
        },
    )


def rotate_checkpoints(folder: Path) -> None:
    """Removes all checkpoints in `folder` but the newest whole ones, unfinished ones included."""
    # Their files are hashed only when one is resumed from: hashing all here would take long.
    finished = [path for path in list_checkpoints(folder) if (path / CHECKSUMS).is_file()]
    for checkpoint in list_checkpoints(folder):
        if checkpoint not in finished[-SAVE_TOTAL_LIMIT:]:
            remove_checkpoint(checkpoint)


def remove_checkpoint(checkpoint: Path) -> None:
    """Deletes a checkpoint's folder, where there is one."""
    # The checksums go first: what a process killed here leaves must not look whole.
    (checkpoint / CHECKSUMS).unlink(missing_ok=True)
    shutil.rmtree(checkpoint, ignore_errors=True)


@contextmanager
def clean_up_failed_write(checkpoint: Path) -> Iterator[None]:
    """Removes the checkpoint and raises UserError where writing it fails, as on a full disk."""
    try:
        yield
    # torch.save and safetensors report a full disk by errors of their own.
    except (OSError, RuntimeError, SafetensorError) as error:
        remove_checkpoint(checkpoint)
        free = shutil.disk_usage(checkpoint.parent).free
        raise UserError(
            f"{checkpoint} could not be written ({' '.join(str(error).split())}); {free} bytes are "
            f"free there. Make room and repeat the command: it continues from the last checkpoint."
        ) from error
