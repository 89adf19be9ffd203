"""stage=smoke: a folder of its own, a kill and a resume, and go or no go."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SWEEPS = Path(__file__).parents[2] / "sweeps"
pytestmark = pytest.mark.usefixtures("hydra")


def write_records(folder: Path, *, began: int, loss: float = 1.0) -> None:
    """What a run leaves that a smoke job reads."""
    from kvdistill.files import write_json, write_sealed, write_text

    parts = dict.fromkeys(("student", "teachers", "rooms", "data", "optimizer"), 0.1)
    rates = {"step_s": 0.5, "tokens_per_s": 100.0, "mfu": None, "real_share": 0.9}
    speed = rates | {"seconds": parts}
    lines = [{"step": n, "split": "train", "loss": loss, "speed": speed} for n in (2, 4, 6, 8)]
    write_text(folder / "curves.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    write_json(folder / "results.json", {"tasks": {"t": {"n": 4}}, "missing": {}})
    ledger = {"peak_bytes": 2**30, "speed": {"on_gpu": False}, "resumed_from": began}
    write_sealed(folder / "manifest.json", {"ledger": ledger})


@pytest.fixture
def smoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Does the stage with jobs that only leave records; returns the names of each submission."""
    from kvdistill.cli import smoke as stage
    from kvdistill.files import write_json

    def run(*overrides: str, resumed_loss: float = 1.0, broken: str = "") -> list[list[str]]:
        submitted: list[list[str]] = []

        def submit(_: Any, nodes: Any, folders: Any, *__: Any, **___: Any) -> dict[str, str]:
            submitted.append([node.name for node in nodes])
            failed = {}
            for node in (each for each in nodes if each.kind == "run"):
                folder = folders[node.name]
                if "kill_at_step" not in node.recipe:
                    if broken:
                        failed[node.name] = broken
                    else:
                        write_records(folder, began=0)
                elif len(submitted) == 1:
                    write_json(folder / "killed.json", {"step": node.recipe["kill_at_step"]})
                    failed[node.name] = "killed, exit code -9"
                else:
                    write_records(folder, began=4, loss=resumed_loss)
            return failed

        monkeypatch.setattr(stage, "submit", submit)
        monkeypatch.setattr(stage, "check_arms", lambda _: None)
        command = ["stage=smoke", f"root={tmp_path}", "smoke.steps=8", *overrides]
        stage.smoke_command([command], SWEEPS)
        return submitted

    return run


@pytest.mark.integration
def test_every_arm_runs_and_one_is_killed_and_resumed(
    smoke: Callable[..., list[list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = smoke("sweep=baselines")
    # With what it reads, which is done: a queue knows only what it is given.
    *artifacts, killed = second
    kinds = {"split", "validation", "calibration", "kv"}  # the command would read a store
    assert {name.split("-")[0] for name in artifacts} == kinds
    runs = [name for name in first if name.startswith("seed")]
    assert killed in runs
    assert killed.removesuffix("-killed") in runs
    # Of each arm one seed, whatever the sweep asks; none that is not trained.
    assert len({name.split("-")[0] for name in runs}) == 1
    assert not any(name.startswith("untrained") for name in first)
    assert "\ngo: " in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["smoke"], "no study, no record"


def test_a_loss_that_is_not_finite_is_no_go(smoke: Callable[..., Any]) -> None:
    from kvdistill.errors import UserError

    with pytest.raises(UserError, match="no go: multi_teacher: the loss is nan at step 3"):
        smoke(broken="the loss is nan at step 3")


def test_a_resume_that_differs_is_no_go(smoke: Callable[..., Any]) -> None:
    from kvdistill.errors import UserError

    with pytest.raises(UserError, match=r"no go: .* its loss at step 2 is 1.25, and 1.0"):
        smoke(resumed_loss=1.25)


def test_the_next_smoke_begins_anew(smoke: Callable[..., Any], tmp_path: Path) -> None:
    old = tmp_path / "smoke/nano/left"
    old.mkdir(parents=True)
    smoke()
    assert not old.exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("arm=raw_student", "nothing is here"),
        ("smoke.steps=3", "smoke.steps=3 must be 8 or more"),
        ("smoke.weights=none", "smoke.weights=.none. must be one of random, real"),
        ("smoke.items=0", "smoke.items must be 1 or more"),
        ("train.peak_tflops=0.0", "train.peak_tflops must be positive"),
    ],
)
def test_what_can_say_nothing_is_refused(
    smoke: Callable[..., Any], override: str, words: str
) -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=words):
        smoke(override)
