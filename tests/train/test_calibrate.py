"""Calibration divided among ranks: the moments, and the R^2 made of them, of one rank."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.conftest import STUDENT, make_model, make_request
from tests.train.forked_ranks import compute_on_two_ranks
from tests.train.runs import make_collator

Make = Callable[..., Any]

TEXTS = 53
HEADS = ("compression=r_kv", "compression.keep=2", "compression.heads=own")


@pytest.fixture
def calibrate_texts(
    monkeypatch: pytest.MonkeyPatch, composed: Make
) -> Callable[..., tuple[dict[str, Any], Any]]:
    """(config, what builds the calibration of teacher a in a folder), on a number of texts."""
    from kvdistill.kv.online import Online
    from kvdistill.plan.graph import ONLY
    from kvdistill.train import calibrate

    def make(rows: int, *overrides: str) -> tuple[dict[str, Any], Any]:
        config = composed(f"train.calibration_rows={rows}", *overrides, teachers=("a",))
        config["teachers"] = {ONLY: config["teachers"]["a"]}
        texts = list(range(TEXTS))
        inputs = calibrate.inputs
        monkeypatch.setattr(inputs, "read_texts", lambda *_: (texts, make_collator((ONLY,))))
        monkeypatch.setattr(inputs, "load_student", lambda *_: make_model(STUDENT, "qwen2", seed=9))
        monkeypatch.setattr(
            inputs, "build_online_teacher", lambda *given: Online(make_request("a", given[-1]))
        )
        monkeypatch.setattr(calibrate, "BATCH_TEXTS", 3)

        def build(folder: Path) -> dict[str, Any]:
            folder.mkdir()
            return calibrate.build_calibration(config, {}, folder, lambda *_: None)

        return config, build

    return make


# 8 rows are three batches to fit on and one held out; 12 are four and one.
@pytest.mark.parametrize(("rows", "overrides"), [(8, ()), (12, HEADS)], ids=["plain", "heads"])
@pytest.mark.integration
def test_two_ranks_sum_up_the_moments_of_one(
    calibrate_texts: Make, tmp_path: Path, rows: int, overrides: tuple[str, ...]
) -> None:
    import torch
    from safetensors.torch import load_file

    config, build = calibrate_texts(rows, *overrides)
    facts = build(tmp_path / "alone")
    both = compute_on_two_ranks(lambda rank: build(tmp_path / f"two{rank}"), tmp_path / "ranks")
    assert both == [facts, facts]
    assert facts["texts"] == rows + max(rows // 4, 2)
    assert not list((tmp_path / "two1").iterdir())  # rank 0 writes
    one, two = (load_file(tmp_path / at / "calibration.safetensors") for at in ("alone", "two0"))
    assert one.keys() == two.keys()
    assert any(name.startswith("held.") for name in one) == bool(overrides)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-9, atol=1e-9, msg=name)
    scores = [score_r2(config, tmp_path / at) for at in ("alone", "two0")]
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)


def score_r2(config: dict[str, Any], folder: Path) -> dict[str, float]:
    """R^2 of the projection that is fitted on a calibration."""
    from kvdistill.kv.calibration import Calibration
    from kvdistill.train.objective import KVObjective

    scores: dict[str, float] = KVObjective(config).first_branch.calibrate(Calibration.load(folder))
    return scores


def test_each_text_counts_once(calibrate_texts: Make, tmp_path: Path) -> None:
    from kvdistill.data.sampler import select_evenly
    from kvdistill.kv.calibration import Calibration

    _, build = calibrate_texts(8, "compression=full")
    build(tmp_path / "alone")
    calibration = Calibration.load(tmp_path / "alone")
    lengths = [4 + row % 5 for row in select_evenly(TEXTS, 10)]
    # Of the student's tokens, which are all covered.
    assert calibration.fit[0][0].count == sum(lengths[:8])
    assert calibration.held_out[0][0].count == sum(lengths[8:])
