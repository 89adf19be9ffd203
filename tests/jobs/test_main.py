"""What a job says of how it ended."""

import errno
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvdistill import preemption
from kvdistill.files import read_json
from kvdistill.plan.frozen_recipe import seal_recipe


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """A job answers SIGTERM; the tests must not."""
    kept = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, kept)
    preemption._requested.clear()


def folder_of(root: Path, monkeypatch: pytest.MonkeyPatch, work: Any) -> Path:
    """A job that does `work`."""
    from kvdistill.jobs import builders

    folder = root / "artifacts/thing-a"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(seal_recipe({"kind": "split", "needs": {}, "recipe": {}}))
    monkeypatch.setitem(builders.BUILDERS, "split", work)
    return folder


def test_warnings_stand_in_the_status_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.jobs.__main__ import main

    def work(_: Any, __: Any, folder: Path, progress: Any) -> dict[str, Any]:
        logging.getLogger("kvdistill.train.run").warning("checkpoint-3 is not used")
        progress(2, 2)  # the last of them is written at once
        assert read_json(folder / "status.json")["warnings"] == ["checkpoint-3 is not used"]
        return {}

    folder = folder_of(tmp_path, monkeypatch, work)
    assert main(folder) == 0
    assert read_json(folder / "status.json")["warnings"] == ["checkpoint-3 is not used"]


def test_parts_left_by_a_killed_process_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.jobs.__main__ import main

    folder = folder_of(tmp_path, monkeypatch, lambda *_: {})
    (folder / ".status.json.1.part").write_text("{")
    assert main(folder) == 0
    assert read_json(folder / "manifest.json")["files"] == {}


@pytest.mark.parametrize("train", [{"keep_model": False}, {"keep_model": True}, {}])
def test_a_student_that_is_not_kept_leaves_its_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: dict[str, bool]
) -> None:
    from kvdistill.jobs import builders
    from kvdistill.jobs.__main__ import main

    def work(_: Any, __: Any, folder: Path, ___: Any) -> dict[str, Any]:
        (folder / "model").mkdir()
        (folder / "model/model.safetensors").write_bytes(b"weights")
        return {}

    folder = tmp_path / "runs/s/runs/seed1-a"
    folder.mkdir(parents=True)
    recipe = {"trained": True, "budget": {"num_gpus": 1}, "train": train}
    (folder / "config.yaml").write_text(seal_recipe({"kind": "run", "needs": {}, "recipe": recipe}))
    monkeypatch.setitem(builders.BUILDERS, "run", work)
    assert main(folder) == 0
    assert "model/model.safetensors" in read_json(folder / "manifest.json")["files"]
    assert (folder / "model").exists() is train.get("keep_model", True)


def test_a_full_disk_ends_a_job_with_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.cluster import local
    from kvdistill.jobs import __main__ as job
    from kvdistill.status import StatusWriter

    def raise_disk_full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = folder_of(tmp_path, monkeypatch, raise_disk_full)
    with monkeypatch.context() as patch:
        patch.setattr(StatusWriter, "write", raise_disk_full)
        assert job.main(folder) == job.NO_SPACE
    assert not (folder / "manifest.json").exists()
    assert "no space is left on the disk" in local.explain_killed_job(folder, job.NO_SPACE)
    assert job.main(folder) == 1
    assert read_json(folder / "status.json")["error"] == job.describe_full_disk(folder)


def test_safetensors_own_word_for_a_full_disk_is_understood(tmp_path: Path) -> None:
    from safetensors import SafetensorError

    from kvdistill.jobs import __main__ as job

    error = SafetensorError(
        "Error while serializing: I/O error: No space left on device (os error 28)"
    )
    assert job.describe_failure(error, tmp_path) == (1, job.describe_full_disk(tmp_path))
    assert job.describe_failure(ValueError("No space"), tmp_path) == (1, "ValueError: No space")


def test_a_failed_write_leaves_the_old_text_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill import files

    path = tmp_path / "a.json"
    files.write_text(path, "old")

    def raise_disk_full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", raise_disk_full)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(path, "new")
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


def test_a_training_that_sigterm_reaches_ends_where_it_can_save_and_stands_as_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.cluster import local
    from kvdistill.jobs import __main__ as job
    from kvdistill.jobs import builders

    saved = []

    def train(_: Any, __: Any, ___: Path, progress: Any) -> dict[str, Any]:
        with preemption.defer():
            os.kill(os.getpid(), signal.SIGTERM)
            progress(3, 9)
            saved.append(preemption.is_requested())
        raise AssertionError

    folder = folder_of(tmp_path, monkeypatch, train)
    assert job.main(folder) == job.ENDED == 143
    assert saved == [True]
    status = read_json(folder / "status.json")
    assert (status["state"], status["step"], status["steps"]) == ("stopped", 3, 9)
    assert "goes on where it stopped" in local.explain_killed_job(folder, job.ENDED)
    monkeypatch.setitem(builders.BUILDERS, "split", lambda *_: {})
    assert job.main(folder) == 0


def test_what_is_not_training_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.jobs import __main__ as job

    def score(*_: Any) -> dict[str, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError

    folder = folder_of(tmp_path, monkeypatch, score)
    assert job.main(folder) == job.ENDED
    assert read_json(folder / "status.json")["state"] == "stopped"


def test_on_a_cluster_it_stands_as_queued_and_the_clusters_own_answer_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.jobs import __main__ as job

    def train(*_: Any) -> dict[str, Any]:
        with preemption.defer():
            preemption.request()
        raise AssertionError

    signal.signal(signal.SIGTERM, lambda *_: None)  # as submitit does
    with pytest.raises(preemption.Preempted):
        job.main(folder_of(tmp_path, monkeypatch, train))
    assert read_json(tmp_path / "artifacts/thing-a/status.json")["state"] == "queued"


def test_what_a_job_is_at_stands_in_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.jobs.__main__ import main
    from kvdistill.status import enter_phase, format_phase

    seen = []

    def work(_: Any, __: Any, folder: Path, progress: Any) -> dict[str, Any]:
        progress(1, 4)
        with enter_phase("validation") as report:
            report(8, 8)
            seen.append(read_json(folder / "status.json"))
        seen.append(read_json(folder / "status.json"))
        return {}

    folder = folder_of(tmp_path, monkeypatch, work)
    assert main(folder) == 0
    assert [format_phase(each) for each in seen] == ["validation 8/8", ""]
    assert [(each["step"], each["steps"]) for each in seen] == [(1, 4), (1, 4)]
    with enter_phase("of no job") as report:
        report(1, 2)
    assert read_json(folder / "status.json")["state"] == "done"
