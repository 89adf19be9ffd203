"""One real SLURM for all tests here; they skip, saying why, where none can be started."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.mini import MiniSlurm, explain_absence
from tests.slurm.study import SWEEP, Launcher


@pytest.fixture(scope="session")
def slurm() -> Iterator[MiniSlurm]:
    if why := explain_absence():
        pytest.skip(f"SLURM: {why}")
    # Not below pytest's own folders: only their owner may enter those, and munge refuses that.
    folder = Path(tempfile.mkdtemp(prefix="mini-slurm-"))
    mini = MiniSlurm(folder)
    try:
        mini.start()
        yield mini
    finally:
        mini.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def launcher(slurm: MiniSlurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """A copy of the project that a test may edit."""
    launcher = Launcher.copy_to(tmp_path_factory.mktemp("project"), slurm)
    launcher.start_server()
    yield launcher
    launcher.stop_server()


@pytest.fixture(scope="session")
def sweep_root(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shells ask for the same sweep at once; then configs and sources are broken.

    What it has built serves the other files too: a job of SLURM costs seconds of imports alone.
    """
    root = tmp_path_factory.mktemp("swept")
    command = (*SWEEP, "cluster=slurm", f"root={root}")
    before = launcher.jobs()
    shells = [launcher.start(*command) for _ in range(2)]
    outputs = [shell.communicate() for shell in shells]
    assert [shell.returncode for shell in shells] == [0, 0], outputs
    kinds = launcher.names(launcher.jobs() - before)
    counted = ("split", "validation", "model", "calibration", "training", "evaluation")
    assert [kinds.count(kind) for kind in counted] == [1, 1, 2, 1, 2, 2]
    # Its server answers, so it has read the sources: else it would die of what follows.
    launcher("stage=status", "status.format=plain", f"root={root}")
    sources = launcher.project / "src/kvdistill"
    broken = [sources / "jobs/__main__.py", sources / "train/step.py", sources / "fusion/fixed.py"]
    kept = {
        path: path.read_text() for path in (*broken, launcher.project / "conf/fusion/fixed.yaml")
    }
    for path in kept:
        path.write_text("raise RuntimeError('edited while jobs wait')\n")
    try:
        launcher.drain()
    finally:
        for path, text in kept.items():
            path.write_text(text)
    return root
