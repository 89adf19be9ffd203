"""One real SLURM for all tests here; they skip, saying why, where none can be started."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.mini import MiniSlurm, explain_absence
from tests.slurm.study import Launcher


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
