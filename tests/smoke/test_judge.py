"""Go or no go, on what runs left and on failures that are planted in it."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.config.schema import SmokeSettings
from kvdistill.files import write_json, write_sealed, write_text
from kvdistill.plan.resources.foretold import Foretold
from kvdistill.smoke import judge
from kvdistill.smoke.judge import SmokeRun, list_faults, list_resume_faults, read_run

GIB = 2**30
SETTINGS = SmokeSettings(steps=20, weights="random", items=4, memory_slack=0.1, resume_slack=None)
FORETOLD = Foretold(peak_bytes=10 * GIB, step_flops=1, step_s=1.0, kind="a100-80gb")


def make_lines(**losses: float) -> list[dict[str, Any]]:
    speed = {"step_s": 2.0, "mfu": None, "seconds": {"student": 1.0}}
    values = {5: 3.0, 10: 2.0, 15: 1.5, 20: 1.0} | {int(k[1:]): v for k, v in losses.items()}
    return [{"step": k, "split": "train", "loss": v, "speed": speed} for k, v in values.items()]


def make_run(*, gib: float = 10.0, on_gpu: bool = True, began: int = 0, **more: Any) -> SmokeRun:
    ledger = {"peak_bytes": gib * GIB, "speed": {"on_gpu": on_gpu}, "resumed_from": began}
    results = {"tasks": {"t": {"n": 4}}, "missing": {}}
    return SmokeRun("kv", **({"lines": make_lines(), "ledger": ledger, "results": results} | more))


def find_faults(run: SmokeRun, usable_gib: float | None = 76) -> list[str]:
    usable = None if usable_gib is None else round(usable_gib * GIB)
    return list(list_faults(run, FORETOLD, usable, SETTINGS))


def test_a_run_that_did_what_the_plan_says_speaks_for_a_go() -> None:
    assert find_faults(make_run(gib=10.9)) == []


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (make_run(failure="the loss is nan at step 3"), "the loss is nan at step 3"),
        (make_run(lines=make_lines(_10=float("nan"))), "not finite at step 10"),
        (make_run(gib=11.1), "11.1 GiB, and the plan foretold 10.0"),
        (make_run(lines=make_lines()[:1]), "say nothing of its speed"),
        (make_run(results={"tasks": {}}), "no item was scored"),
        (make_run(results={"tasks": {"t": {"n": 1}}, "missing": {"bbh": "gone"}}), "bbh"),
    ],
)
def test_what_is_wrong_with_a_run_is_named(run: SmokeRun, words: str) -> None:
    (fault,) = find_faults(run)
    assert fault.startswith("kv: ")
    assert words in fault


def test_more_than_the_card_has_is_named_beside_what_was_foretold() -> None:
    foretold, card = find_faults(make_run(gib=11.1), 8)
    assert "foretold 10.0" in foretold
    assert "estimate.kind=a100-80gb has 8.0 to use" in card


def test_the_memory_of_a_process_on_a_cpu_is_not_judged() -> None:
    assert find_faults(make_run(gib=99, on_gpu=False), None) == []


def find_resume_faults(resumed: SmokeRun, killed_at: int | None = 15) -> list[str]:
    return list(list_resume_faults(make_run(), resumed, killed_at, SETTINGS))


def test_a_run_that_goes_on_as_if_it_had_not_been_killed_speaks_for_a_go() -> None:
    assert find_resume_faults(make_run(began=10)) == []
    nearly = make_lines(_20=1.005)
    assert find_resume_faults(make_run(began=10, lines=nearly)) == []
    # On a CPU sums have one order.
    assert find_resume_faults(make_run(began=10, lines=nearly, on_gpu=False))


@pytest.mark.parametrize(
    ("run", "killed_at", "words"),
    [
        (make_run(began=10, lines=make_lines(_20=1.5)), 15, "its loss at step 20 is 1.5, and 1.0"),
        (make_run(began=10, lines=make_lines()[:3]), 15, "it has lines of steps"),
        (make_run(began=0), 15, "it began again at step 0"),
        (make_run(began=10, failure="no checkpoint"), 15, "no checkpoint"),
        (make_run(failure="out of memory"), None, "it was never killed: out of memory"),
    ],
)
def test_a_resume_that_differs_is_named(run: SmokeRun, killed_at: int | None, words: str) -> None:
    (fault,) = find_resume_faults(run, killed_at)
    assert fault.startswith("kv, killed and resumed: ")
    assert words in fault


def test_a_folder_is_read_as_its_job_left_it(tmp_path: Path) -> None:
    import json

    lines = [*make_lines(), {"step": 20, "split": "val", "loss": 1.0}]
    write_text(tmp_path / "curves.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert read_run("kv", tmp_path, "").failure == "it left no manifest"
    write_json(tmp_path / "results.json", {"tasks": {"t": {"n": 3}, "u": {"n": 4}}})
    write_sealed(tmp_path / "manifest.json", {"ledger": {"peak_bytes": 5}})
    run = read_run("kv", tmp_path, "")
    assert (run.failure, run.ledger["peak_bytes"], run.count_items()) == ("", 5, 7)
    assert [line["step"] for line in run.lines] == [5, 10, 15, 20]
    assert read_run("kv", tmp_path, "killed").failure == "killed"


def test_rates_are_medians_that_leave_out_what_is_set_up_once() -> None:
    lines = make_lines()
    for line, seconds in zip(lines, (100.0, 1.0, 2.0, 9.0), strict=True):
        line["speed"] = {"step_s": seconds, "mfu": None, "seconds": {"rooms": seconds / 2}}
    run = make_run(lines=lines)
    assert (run.measure("step_s"), run.measure("seconds", "rooms")) == (2.0, 1.0)
    assert run.measure("mfu") is None
    assert make_run(lines=lines[:1]).measure("step_s") is None
    assert judge.read_training_lines(Path("nowhere")) == []
