"""Why a job that has ended has no result, from its folder and what SLURM remembers."""

import json
from pathlib import Path

import pytest

from kvdistill.plan.frozen_recipe import seal_recipe


def write_job(place: Path, name: str, needs: dict[str, str] | None = None, **status: str) -> Path:
    made = place / name
    made.mkdir()
    (made / "config.yaml").write_text(
        seal_recipe({"kind": "run", "needs": needs or {}, "recipe": {}})
    )
    if status:
        (made / "status.json").write_text(json.dumps({"heartbeat": 0.0, **status}))
    return made


def collect_reasons(*folders: Path) -> dict[str, str]:
    from kvdistill.cluster.job_failures import collect_failures

    return collect_failures({made.name: made for made in folders})


@pytest.fixture(autouse=True)
def _fake_final_states(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.cluster import slurm_commands

    monkeypatch.setattr(
        slurm_commands, "read_final_state", lambda identity: {"7": "TIMEOUT"}.get(identity)
    )


def test_a_failed_artefacts_reason_reaches_all_that_waited_for_it(tmp_path: Path) -> None:
    split = write_job(tmp_path, "split", state="failed", error="20 rows are too few")
    model = write_job(tmp_path, "model", {"split": "split"}, state="queued")
    run = write_job(tmp_path, "run", {"student": "model"}, state="queued")
    failures = collect_reasons(split, model, run)
    assert failures["model"] == "not started, split failed: 20 rows are too few"
    assert failures["run"] == "not started, model failed: split failed: 20 rows are too few"
    status = json.loads((run / "status.json").read_text())
    assert (status["state"], status["error"]) == ("failed", failures["run"])


def test_a_job_that_ended_without_a_word_has_slurms(tmp_path: Path) -> None:
    run = write_job(tmp_path, "run", state="running")
    (run / "job.json").write_text('{"job_id": "7"}')
    assert "job 7 ended without a word as SLURM's TIMEOUT" in collect_reasons(run)["run"]


def test_what_is_finished_lacks_nothing(tmp_path: Path) -> None:
    done = write_job(tmp_path, "done", state="running")
    (done / "manifest.json").write_text("{}")
    assert collect_reasons(done) == {}


def test_what_slurm_wrote_of_a_job_that_never_began_is_its_reason(tmp_path: Path) -> None:
    log = tmp_path / "7_0_log.out"
    log.write_text("srun: fatal: SLURM_MEM_PER_CPU and SLURM_MEM_PER_NODE exclude each other.\n")
    run = write_job(tmp_path, "run", state="queued")
    (run / "job.json").write_text(json.dumps({"job_id": "7", "log": str(log)}))
    reason = collect_reasons(run)["run"]
    assert f"{log} says: srun: fatal: SLURM_MEM_PER_CPU and SLURM_MEM_PER_NODE exclude" in reason


def test_a_log_is_named_where_it_lies_and_only_then(tmp_path: Path) -> None:
    silent, begun = (write_job(tmp_path, name, state="queued") for name in ("silent", "begun"))
    for folder in (silent, begun):
        (folder / "job.json").write_text('{"job_id": "7", "log": "/nowhere/7_log.out"}')
    (begun / "log.txt").write_text("step 1")
    reasons = collect_reasons(silent, begun)
    assert "it left no log" in reasons["silent"]
    assert f"its log is {begun / 'log.txt'}." in reasons["begun"]
