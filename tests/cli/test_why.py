"""What makes a run new."""

from pathlib import Path

import pytest

from kvdistill.plan.frozen_recipe import seal_recipe

pytestmark = pytest.mark.usefixtures("hydra")


def write_finished_run(root: Path, name: str, *overrides: str) -> None:
    from kvdistill.config.compose import compose

    folder = root / "runs/s/runs" / name
    folder.mkdir(parents=True)
    frozen = {"kind": "run", "needs": {}, "recipe": compose(overrides)}
    (folder / "config.yaml").write_text(seal_recipe(frozen))
    (folder / "manifest.json").write_text("{}")


def explain(root: Path, *overrides: str, capsys: pytest.CaptureFixture[str]) -> str:
    from kvdistill.cli.why import explain_run
    from kvdistill.config.compose import compose

    explain_run(root, compose(overrides), "this")
    return capsys.readouterr().out


def test_the_nearest_finished_run_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_finished_run(tmp_path, "far", "train.lr=0.5", "style=cot", "kv=k")
    write_finished_run(tmp_path, "near", "train.lr=0.5")
    text = explain(tmp_path, "train.lr=0.25", capsys=capsys)
    assert "runs/near" in text
    rows = [line for line in text.splitlines() if line.startswith("│")]
    assert len(rows) == 1
    assert [cell.strip() for cell in rows[0].strip("│").split("│")] == ["train.lr", "0.25", "0.5"]


def test_where_it_runs_makes_no_run_new(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_finished_run(tmp_path, "same")
    text = explain(tmp_path, "cluster=slurm", "train.save_steps=7", "study=other", capsys=capsys)
    assert text.startswith("this is no new run")


def test_with_nothing_finished_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "no run is finished" in explain(tmp_path, capsys=capsys)
