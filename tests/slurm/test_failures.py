"""What fails is FAILED, takes only its dependants with it, and is named in the report."""

from pathlib import Path

import pytest

from tests.slurm.study import TINY, Launcher, copy_artifacts, read, runs

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
SFT = (*TINY[:-2], "arm=sft", "references=false")
KINDS = ["evaluation", "model", "report", "split", "training", "validation"]
EMPTY = ("data.source.rows=1", "data.split.ratios=[0.98,0.01,0.01]")  # no row for validation


@pytest.fixture(scope="module")
def failed_split(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run, whose split cannot be made."""
    root = tmp_path_factory.mktemp("empty")
    launcher(*SFT, *EMPTY, "cluster=slurm", f"root={root}")
    launcher.drain()
    return root


def test_what_waits_for_a_failed_artefact_is_cancelled_with_its_reason(
    failed_split: Path, launcher: Launcher
) -> None:
    (folder,) = runs(failed_split).values()
    assert launcher.state(folder) == "CANCELLED"
    status = read(folder / "status.json")
    assert status["state"] == "failed"
    split = next((failed_split / "artifacts").glob("split-*/"))
    assert launcher.state(split) == "FAILED"
    assert "Traceback" in (split / "log.txt").read_text()
    assert read(split / "status.json")["error"] in status["error"]
    assert status["error"].startswith("not started, ")


def test_the_report_is_tried_all_the_same_and_says_what_is_missing(failed_split: Path) -> None:
    assert f"missing: {next(iter(runs(failed_split).values())).name}: " in read_report_log(
        failed_split
    )


def test_status_shows_what_never_began_and_retry_tries_all_of_it_again(
    failed_split: Path, launcher: Launcher
) -> None:
    retry_held(failed_split, launcher, ["failed"], KINDS)


@pytest.fixture(scope="module")
def half_failed(
    launcher: Launcher, sweep_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One run that trains, one whose loss is no number."""
    root = tmp_path_factory.mktemp("half")
    copy_artifacts(sweep_root, root)
    launcher("-m", *SFT, "train.lr=0.003,1e30", "cluster=slurm", f"root={root}")
    launcher.drain()
    return root


@pytest.mark.slow  # tests/cluster/test_slurm.py has the chains of jobs that this shows at work
def test_a_run_that_raises_is_failed_and_the_other_is_not(
    half_failed: Path, launcher: Launcher
) -> None:
    good, bad = runs(half_failed).values()
    assert launcher.state(good) == "COMPLETED"
    assert launcher.state(bad, "training_job.json") == "FAILED"
    assert launcher.state(bad) == "CANCELLED"  # nothing is there to be scored
    assert read(bad / "status.json")["state"] == "failed"
    assert "Traceback" in (bad / "log.txt").read_text()


@pytest.mark.slow
def test_the_report_comes_all_the_same_and_names_what_is_missing(half_failed: Path) -> None:
    assert (half_failed / "runs/nano/report/index.html").is_file()
    bad = list(runs(half_failed).values())[1]
    assert f"missing: {bad.name}: " in read_report_log(half_failed)


@pytest.mark.slow
def test_status_shows_it_and_retry_tries_that_one_again(
    half_failed: Path, launcher: Launcher
) -> None:
    retry_held(half_failed, launcher, ["done", "failed"], ["evaluation", "report", "training"])


def read_report_log(root: Path) -> str:
    """What the job of the report printed."""
    return "".join(path.read_text() for path in (root / "runs/nano/slurm").glob("*_log.out"))


def retry_held(root: Path, launcher: Launcher, shown: list[str], kinds: list[str]) -> None:
    """Status shows the runs so and submits nothing; retry submits these jobs, which end held."""
    before = launcher.jobs()
    identities = list(runs(root))
    lines = launcher("stage=status", f"root={root}").splitlines()
    states = {line.split("\t")[0]: line.split("\t")[3] for line in lines}
    assert [states[identity] for identity in identities] == shown
    assert launcher.jobs() == before
    launcher("stage=retry", "cluster=slurm", "cluster.sbatch=[--hold]", f"root={root}")
    assert launcher.names(launcher.jobs() - before) == kinds
    launcher("stage=cancel", f"root={root}")
    launcher.drain(60)
    assert read(list(runs(root).values())[-1] / "status.json")["error"] == (
        "cancelled by stage=cancel"
    )


def test_what_sbatch_refuses_is_one_line(launcher: Launcher, tmp_path: Path) -> None:
    output = launcher(*SFT, "cluster=slurm", "cluster.partition=none", f"root={tmp_path}", code=1)
    assert "invalid partition specified: none" in output
    assert output.count("error: sbatch refused") == 1
    output = launcher(*SFT, "cluster=slurm", f"root={tmp_path}", "cluster.dry_run=true")
    assert "--kill-on-invalid-dep=yes" in output
