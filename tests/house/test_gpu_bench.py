"""The bench of a GPU, on a CPU: what it judges and prints, and that each of its cases runs."""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MACHINE = {
    "status": "measured", "device": "cuda", "tiny": False, "card": "A card", "driver": "1.2",
    "versions": {"torch": "2.13"}, "peak_flops": 1000.0,
}  # fmt: skip


def make_step(step_s: float, flops: float = 500.0, **more: Any) -> dict[str, Any]:
    work = {"step_s": step_s, "model_flops": flops, "student_tokens": 100.0}
    return {"status": "measured", **work, "peak_bytes": 105, "plan_bytes": 100, **more}


def test_goals_are_judged_by_the_worst_case_and_by_the_best_settings() -> None:
    from tests.bench.gpu.goals import judge_goals

    records = {
        "machine": MACHINE,
        "sft": make_step(1.0),  # 50 %
        "sft_compiled": make_step(2.0),
        "kv_7b": make_step(1.0, 480.0, rooms_share=0.05),
        "kv_14b": make_step(2.0, 600.0, rooms_share=0.09),  # 30 %, 0.6 of fine-tuning's
        "kv_7b_stored": make_step(1.09),
        "sft_mixed": make_step(3.0, peak_bytes=1),  # not of full texts: the plan is of others
        "trl_sft_mixed": make_step(2.0),
    }
    judged = judge_goals(records)
    assert judged["sft_mfu"] == (pytest.approx(0.5), True)
    assert judged["kv_mfu"] == (pytest.approx(0.48), True)
    assert judged["kv_mfu_over_sft"] == (pytest.approx(0.6), False)
    assert judged["rooms_share"] == (pytest.approx(0.09), False)
    assert judged["stored_over_sft"] == (pytest.approx(1.09), True)
    assert judged["plan_error"] == (pytest.approx(0.05), True)
    assert judged["sft_over_trl"] == (pytest.approx(1.5), False)
    assert judged["bf16_kv_noise"] == (None, None)


def test_no_time_of_a_cpu_is_judged_and_its_correctness_is() -> None:
    from tests.bench.gpu.goals import summarize_goals

    correctness = {f"fp32_{what}_{name}": 0.0 for what in ("student", "target")
                   for name in ("keys", "values")} | {"fp32_gradient": 1e-3}  # fmt: skip
    records = {
        "machine": MACHINE | {"device": "cpu"},
        "sft": make_step(9.0),
        "sft_packed": {"status": "not available", "why": "train.packing=true"},
        "correctness": {"status": "measured", **correctness},
    }
    summary = summarize_goals(records)
    assert summary["met"]["sft_mfu"] is summary["met"]["plan_error"] is None
    assert summary["met"]["fp32_kv_noise"] is True
    assert summary["met"]["fp32_gradient_noise"] is False
    assert summary["not_measured"] == {"sft_packed": "train.packing=true"}
    assert summary["ok"] is False


def test_raw_lines_become_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.bench.gpu.__main__ import main

    records = {
        "machine": MACHINE,
        "sft": make_step(0.5, 200.0, peak_bytes=2 * 2**30, plan_bytes=2**31 + 2**30),
        "kv_7b": {"status": "out of time", "why": "not done in 5 s"},
    }
    path = tmp_path / "gpu.jsonl"
    lines = [json.dumps({"case": name, **record}) for name, record in records.items()]
    path.write_text(
        "\n".join([json.dumps({"case": "sft", "status": "failed", "why": "x"}), *lines])
    )
    assert main(["--table", str(path)]) == 0
    text = capsys.readouterr().out
    assert "Machine: A card, driver 1.2; torch 2.13; models of true shape, drawn." in text
    assert "| `sft` | 0.5000 | 200 | 40.0 % | 2.0 | 3.0 |  |" in text
    assert "| `kv_7b` | out of time: not done in 5 s |" in text
    assert "| MFU of fine-tuning, best settings | 0.4 | ≥ 0.45 | falls short |" in text


def fail() -> dict[str, Any]:
    raise ValueError("a cause\nand more")


def sleep_long() -> dict[str, Any]:
    time.sleep(60)
    return {}


def vanish() -> dict[str, Any]:
    os._exit(7)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (lambda: {"figure": 1.0}, {"status": "measured", "figure": 1.0}),
        (fail, {"status": "failed", "why": "ValueError: a cause"}),
        (sleep_long, {"status": "out of time", "why": "not done in 0 s"}),
        (vanish, {"status": "failed", "why": "its process ended with 7"}),
    ],
)
def test_a_case_that_fails_hangs_or_dies_is_a_line_and_no_more(
    measure: Any, expected: dict[str, Any], tmp_path: Path
) -> None:
    from tests.bench.gpu.isolate import run_forked

    limit = 0.2 if measure is sleep_long else 30.0
    assert run_forked(measure, tmp_path / "log", limit) == expected
    assert ("a cause" in (tmp_path / "log").read_text()) == (measure is fail)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_case_runs_tiny_on_a_cpu_within_a_minute(tmp_path: Path) -> None:
    from tests.bench.gpu.cases import CASES

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.gpu", "--device", "cpu", "--tiny",
         "--minutes", "25", "--case-seconds", "300", "--out", str(tmp_path)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": "src", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["ok"], done.stdout + done.stderr + (tmp_path / "gpu.log").read_text()
    assert done.returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    assert [line["case"] for line in lines] == ["machine", "texts", *CASES]
    unmeasured = {line["status"] for line in lines} - {"measured"}
    assert unmeasured <= {"not installed", "not available", "left out"}
    # Processor time: others may use this machine.
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 60
