"""One job: builds the artefact, or does the run, whose frozen config.yaml lies in a folder.

    python -m kvdistill.cluster.job FOLDER

Reads nothing but that folder and the artefacts it names, so a YAML edited meanwhile changes
nothing. Two jobs for one folder build it once: the second waits for the first's lease.
"""

import signal
import sys
import time
import traceback
from pathlib import Path

import yaml
from filelock import SoftFileLease

from kvdistill.cluster import manifest
from kvdistill.cluster.status import Status
from kvdistill.errors import ConfigError, UserError
from kvdistill.files import is_complete

LEASE_S = 20.0
"""Seconds without a heartbeat after which a holder counts as dead."""


def main(folder: Path) -> int:
    """The job's exit code: 0 done, 2 a bad setting, 1 anything else; status.json says why."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with SoftFileLease(f"{folder}.lease", lease_duration=LEASE_S):
        if is_complete(folder):
            return 0
        status = Status(folder)
        status.write("running", step=0, steps=0)
        try:
            work(folder, status)
        except Exception as error:  # noqa: BLE001 - the last frame: every failure is recorded
            traceback.print_exc()
            line = " ".join(str(error).split()) or type(error).__name__
            named = line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"
            status.write("failed", error=named)
            return 2 if isinstance(error, ConfigError) else 1
        status.write("done")
        return 0


def work(folder: Path, status: Status) -> None:
    """Does what the frozen config asks for, then completes the folder with its manifest."""
    from kvdistill.cluster.builders import BUILDERS  # imports torch

    began = time.monotonic()
    frozen = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    artifacts = artifacts_folder(folder)
    needs = {role: artifacts / name for role, name in frozen["needs"].items()}
    for need in needs.values():
        manifest.verify(need)
    facts = BUILDERS[frozen["kind"]](frozen["recipe"], needs, folder, status.running)
    facts |= {"wall_s": time.monotonic() - began}
    manifest.write(folder, frozen["kind"], frozen["needs"], facts)


def artifacts_folder(folder: Path) -> Path:
    """ROOT/artifacts, from an artefact's folder or from ROOT/runs/STUDY/runs/RUN."""
    parent = folder.resolve().parent
    return parent if parent.name == "artifacts" else parent.parents[2] / "artifacts"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
