"""A sweep through a real SLURM: once each, whole, and the same bits as on this machine."""

import shutil
from pathlib import Path

import pytest

from tests.slurm.study import SWEEP, Launcher, artifacts, evidence, read, runs

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def test_every_run_is_completed_and_every_artefact_was_built_once(
    sweep_root: Path, launcher: Launcher
) -> None:
    assert {launcher.state(folder) for folder in runs(sweep_root).values()} == {"COMPLETED"}
    assert artifacts(sweep_root) == ["calibration", "model", "model", "split", "validation"]


def test_the_report_is_written_at_the_end(sweep_root: Path) -> None:
    assert (sweep_root / "runs/nano/report/index.html").is_file()
    assert len(read(sweep_root / "runs/nano/budget.json")["arms"]) == 2


def test_a_manifest_names_the_code_it_ran(sweep_root: Path) -> None:
    code = next(path.name for path in (sweep_root / "code").iterdir())
    for folder in runs(sweep_root).values():
        assert read(folder / "manifest.json")["provenance"]["code"] == code


def test_the_same_command_on_this_machine_gives_the_same_bits(
    sweep_root: Path, launcher: Launcher, tmp_path: Path
) -> None:
    launcher(*SWEEP, f"root={tmp_path}")
    there, here = runs(sweep_root), runs(tmp_path)
    assert list(there) == list(here)
    for identity in there:
        assert evidence(there[identity]) == evidence(here[identity])


def test_the_same_command_again_submits_nothing(sweep_root: Path, launcher: Launcher) -> None:
    before = launcher.jobs()
    output = launcher(*SWEEP, "cluster=slurm", f"root={sweep_root}")
    assert launcher.jobs() == before
    assert "report:" in output


@pytest.fixture
def lost_run(sweep_root: Path, tmp_path: Path) -> Path:
    """A copy of the sweep, of one of whose runs only the frozen config is left."""
    root = tmp_path / "root"
    shutil.copytree(sweep_root, root)
    lost = list(runs(root).values())[1]
    for path in lost.iterdir():
        if path.name != "config.yaml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return root


def test_a_deleted_result_is_the_only_run_submitted(lost_run: Path, launcher: Launcher) -> None:
    before = launcher.jobs()
    # Held, so that none of them is waited for; what they end in is proven below.
    launcher(*SWEEP, "cluster=slurm", "cluster.sbatch=[--hold]", f"root={lost_run}")
    submitted = launcher.jobs() - before
    assert launcher.names(submitted) == ["evaluation", "report", "training"]
    launcher("stage=cancel", f"root={lost_run}")
    launcher.drain(60)
    assert {launcher.slurm.job(identity)["JobState"] for identity in submitted} == {"CANCELLED"}


@pytest.mark.slow  # tests/end_to_end/test_launch.py has the same by local jobs
def test_a_deleted_result_is_made_again_to_the_same_bits(
    lost_run: Path, sweep_root: Path, launcher: Launcher
) -> None:
    launcher(*SWEEP, "cluster=slurm", f"root={lost_run}", "cluster.wait=true")
    launcher.drain()
    (whole, again) = (list(runs(root).values())[1] for root in (sweep_root, lost_run))
    assert evidence(again) == evidence(whole)
