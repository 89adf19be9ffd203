"""stage=teachers and source=store, as a user calls them."""

import json
import re
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
