"""The four figures of one run."""

import json

import pytest

from kvdistill.errors import ArtifactError
from kvdistill.report.run_figures import write_run_figures
from kvdistill.stats.curves import read_curves
from tests.stats import fake

NAMES = ["kv_loss_curves", "task_accuracy_curves", "dual_axis_curve", "overfitting_analysis"]


@pytest.mark.integration
def test_a_trained_run_gets_its_four_pictures(tmp_path):
    fake.write_run(tmp_path, {"one": [1, 0]})
    assert [path.stem for path in write_run_figures(tmp_path)] == NAMES
    assert all((tmp_path / f"{name}.png").stat().st_size > 5000 for name in NAMES)


def test_a_run_without_kv_loss_or_metric_has_no_such_picture(tmp_path):
    lines = [
        {"step": step, "split": split, "loss": 1.0, "ce": 1.0 / (1 + step)}
        for step in range(4)
        for split in ("train", "val")
    ]
    (tmp_path / "curves.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert [path.stem for path in write_run_figures(tmp_path)] == ["overfitting_analysis"]


def test_a_run_with_logits_has_their_distance_drawn(tmp_path):
    lines = [
        {"step": step, "split": split, "loss": 1.0, "ce": 1.0, "logits": 1.0 / (1 + step)}
        for step in range(4)
        for split in ("train", "val")
    ]
    (tmp_path / "curves.jsonl").write_text("\n".join(map(json.dumps, lines)))
    written = [path.stem for path in write_run_figures(tmp_path)]
    assert written == ["logit_distance_curves", "overfitting_analysis"]


def test_an_untrained_run_has_none(tmp_path):
    assert write_run_figures(tmp_path) == []


def test_steps_logged_again_after_a_resume_count_once(tmp_path):
    lines = [{"step": 1, "split": "val", "ce": 2.0}, {"step": 1, "split": "val", "ce": 1.0}]
    path = tmp_path / "curves.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    assert read_curves(path)["ce"].tolist() == [1.0]


def test_a_broken_line_is_refused_by_name(tmp_path):
    path = tmp_path / "curves.jsonl"
    path.write_text('{"step": 1')
    with pytest.raises(ArtifactError, match="broken line"):
        read_curves(path)
