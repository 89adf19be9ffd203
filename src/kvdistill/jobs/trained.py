"""trained.json: a student that is trained, whose scores are still to come.

Sealed and complete before anything is scored, so that an evaluation that fails, or is done by
another job, finds the student, its curves and its ledger as training left them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvdistill import layout, manifest
from kvdistill.errors import ArtifactError
from kvdistill.files import check_hashes, hashes, read_sealed, sha256, write_sealed
from kvdistill.records import SCHEMA_VERSION


@dataclass(frozen=True)
class TrainedRun:
    """What training says of itself."""

    ledger: Mapping[str, Any]
    ranks: int
    wall_s: float


def write_trained(folder: Path, needs: Mapping[str, Path], run: TrainedRun) -> None:
    """Seals what training left: every file of it, and the artefacts it was trained on."""
    write_sealed(
        folder / layout.TRAINED,
        {
            "schema_version": SCHEMA_VERSION,
            "needs": {role: need.name for role, need in needs.items()},
            "ledger": dict(run.ledger),
            "ranks": run.ranks,
            "wall_s": run.wall_s,
            "files": hash_trained_files(folder),
        },
    )


def read_trained(folder: Path, needs: Mapping[str, Path]) -> TrainedRun:
    """What `write_trained` wrote.

    Raises ArtifactError where a file is not as it was, or the run reads other artefacts now.
    """
    facts = read_sealed(folder / layout.TRAINED)
    for role, need in needs.items():
        if facts["needs"].get(role) != need.name:
            raise ArtifactError(
                f"{folder} was trained with {role} {facts['needs'].get(role)}, but the run reads "
                f"{need.name}. Delete {folder / layout.TRAINED} to train it again."
            )
    check_hashes(folder, facts["files"])
    return TrainedRun(facts["ledger"], facts["ranks"], facts["wall_s"])


def hash_trained_files(folder: Path) -> dict[str, str]:
    """Name -> content hash of the model's files and of the run's own, checkpoints apart."""
    model = {f"{layout.MODEL}/{name}": each for name, each in hashes(folder / layout.MODEL).items()}
    own = [path for path in sorted(folder.iterdir()) if path.is_file()]
    written = [path for path in own if path.name not in manifest.UNHASHED_FILES]
    return model | {path.name: sha256(path) for path in written if path.suffix != ".part"}
