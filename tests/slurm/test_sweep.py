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


def test_a_deleted_result_is_the_only_run_submitted(sweep_root: Path, launcher: Launcher) -> None:
    lost = list(runs(sweep_root).values())[1]
    bits = evidence(lost)
    for path in lost.iterdir():
        if path.name != "config.yaml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    before = launcher.jobs()
    launcher(*SWEEP, "cluster=slurm", f"root={sweep_root}", "cluster.wait=true")
    launcher.drain()
    assert launcher.names(launcher.jobs() - before) == ["evaluation", "report", "training"]
    assert evidence(lost) == bits
