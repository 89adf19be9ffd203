"""Runs that train on teachers' answers, and that teachers read the student's: whole, on nano."""

import json
from pathlib import Path

import pytest

from tests.end_to_end.test_launch import TWO
from tests.launch_server import launch

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]


def read_ledgers(root: Path) -> dict[str, dict]:
    folders = sorted((root / "runs/nano/runs").glob("seed*"))
    manifests = [json.loads((each / "manifest.json").read_text()) for each in folders]
    return {each["arm"]: each["ledger"] for each in manifests}


def test_answers_are_written_once_judged_and_trained_on(tmp_path: Path) -> None:
    command = ["-m", f"root={tmp_path}", *TWO, "seed=0", "references=false"]
    arms = "arm=sequence_kd,on_policy_kv"
    done = launch(*command, arms, "data.decoding.max_new_tokens=16")
    assert done.returncode == 0, done.stdout + done.stderr
    ledgers = read_ledgers(tmp_path)
    answers = ledgers["sequence_kd"]["answers"]
    assert set(answers) == {"a", "b"}
    for facts in answers.values():
        written = tmp_path / "artifacts" / facts["artifact"] / "answers.jsonl"
        rows = [json.loads(line) for line in written.read_text("utf-8").split("\n") if line]
        assert len(rows) == facts["answers"]
        whole = [row for row in rows if row["ended"] and row["text"].strip()]
        assert len(whole) == facts["trained_on"]
    assert ledgers["sequence_kd"]["teacher_flops"] == 0
    own = ledgers["on_policy_kv"]["on_policy"]
    assert 0 < own["writing_flops"] < own["training_flops"]
    assert ledgers["sequence_kd"]["steps"] == ledgers["on_policy_kv"]["steps"]
    page = (tmp_path / "runs/nano/report/index.html").read_text("utf-8")
    assert "answers of nano-small" in page
