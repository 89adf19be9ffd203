"""stage=teachers and source=store, as a user calls them."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.test_launch import TWO
from tests.launch_server import launch

pytestmark = pytest.mark.integration

GIVEN = [*TWO, "source=store", "references=false"]


def kinds(root: Path) -> list[str]:
    return sorted(p.name.split("-")[0] for p in (root / "artifacts").iterdir() if p.is_dir())


def stamps(root: Path) -> dict[str, int]:
    paths = root.glob("artifacts/kv-*/*")
    return {path.name: path.stat().st_mtime_ns for path in paths if path.suffix != ".lease"}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with two teachers' stores alone."""
    root = tmp_path_factory.mktemp("stores")
    done = launch("stage=teachers", f"root={root}", *GIVEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nano-cross" in done.stdout
    return root


def test_stores_are_built_with_what_they_read_and_nothing_else(stores: Path) -> None:
    assert kinds(stores) == ["kv", "kv", "model", "model", "model", "split"]
    assert not (stores / "runs").exists()


def test_every_fusion_and_style_would_read_them(stores: Path) -> None:
    how = ("fusion=fixed,similarity", "style=mixed,cot")
    done = launch("-m", "stage=plan", f"root={stores}", *GIVEN, *how)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"\bkv-\w+\W+(\w+)", done.stdout) == ["reused", "reused"]


@pytest.mark.slow  # reading them in training: tests/kv/test_store.py
def test_every_fusion_and_style_reads_them(stores: Path) -> None:
    before = stamps(stores)
    done = launch("-m", f"root={stores}", *GIVEN, "fusion=fixed,similarity", "style=mixed,cot")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stamps(stores) == before
    runs = [json.loads(path.read_text()) for path in stores.glob("runs/*/runs/*/manifest.json")]
    assert len(runs) == 4
    for run in runs:
        assert {"kv.a", "kv.b"} <= set(run["needs"])
        assert run["ledger"]["agreement"]["held_out_r2"] is not None


def test_without_a_store_there_is_nothing_to_build(tmp_path: Path) -> None:
    done = launch("stage=teachers", f"root={tmp_path}", "source=online")
    assert done.returncode == 2
    assert "no run here reads any. Add source.read=stored, " in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow  # the loss of a batch: tests/kv/test_store.py
def test_a_run_that_reads_stores_has_the_scores_and_losses_of_a_live_one(tmp_path: Path) -> None:
    given = [*TWO, "references=false"]
    results, losses = [], []
    for read in ("live", "stored"):
        root = tmp_path / read
        if read == "stored":
            shutil.copytree(tmp_path / "live/artifacts", root / "artifacts")
        done = launch(f"root={root}", *given, f"source.read={read}")
        assert done.returncode == 0, done.stdout + done.stderr
        (folder,) = root.glob("runs/nano/runs/seed*")
        results.append(json.loads((folder / "results.json").read_text()))
        lines = [json.loads(line) for line in (folder / "curves.jsonl").read_text().splitlines()]
        losses.append([line["loss"] for line in lines if "loss" in line])
        assert bool([*root.glob("artifacts/kv-*")]) == (read == "stored")
    assert results[0]["tasks"] == results[1]["tasks"]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
