"""stage=teachers and source=store, as a user calls them."""

import json
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


def test_stores_are_built_alone_then_read_by_every_fusion(tmp_path: Path) -> None:
    done = launch("stage=teachers", f"root={tmp_path}", *GIVEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nano-cross" in done.stdout
    assert kinds(tmp_path) == ["kv", "kv", "model", "model", "model", "split"]
    assert not (tmp_path / "runs").exists()
    before = stamps(tmp_path)
    done = launch("-m", f"root={tmp_path}", *GIVEN, "fusion=fixed,similarity", "style=mixed,cot")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stamps(tmp_path) == before
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/runs/*/manifest.json")]
    assert len(runs) == 4
    for run in runs:
        assert {"kv.a", "kv.b"} <= set(run["needs"])
        assert run["ledger"]["agreement"]["held_out_r2"] is not None


def test_without_a_store_there_is_nothing_to_build(tmp_path: Path) -> None:
    done = launch("stage=teachers", f"root={tmp_path}")
    assert done.returncode == 2
    assert "no run here reads any. Add source=store, or arm=sequence_kd." in done.stderr
    assert not list(tmp_path.iterdir())
