"""What is published of a run: complete, in the forms that others read, and away from the run."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.files import hashes, write_sealed
from kvdistill.report.publish.published_run import read_published_run
from kvdistill.report.publish.write_folder import write_published_folder
from tests.stats import fake

TASKS = ("gsm8k", "gsm8k_likelihood", "nano_logic")
REVISION = "c" * 40
SECRET = "hf_" + "a" * 30


def write_run(root: Path, limit: Any = None, *, trained: bool = True, model: bool = True) -> Path:
    """A finished run with a student, on a benchmark of the hub and two tasks that are not."""
    folder = root / "runs/s/runs/seed42-ab"
    config = fake.make_config("arm") | {
        "root": "/home/me/secret", "trained": trained, "cluster": {"name": "local"},
        "data": {"source": {"hub": "openai/gsm8k"}},
        "student": {"name": "small", "pretrained": {"hub": "a/b", "revision": REVISION}},
        "tasks": {
            "name": "own", "limit": limit, "backend": "hf", "batch_size": 8,
            "revisions": {"openai/gsm8k": REVISION}, "shots": {"gsm8k": 4},
        },
    }  # fmt: skip
    fake.write_run(folder, {task: [1, 0, 1, 1] for task in TASKS}, config=config)
    if model:
        (folder / "model").mkdir()
        for name in ("config.json", "model.safetensors", "README.md"):
            (folder / "model" / name).write_text(name)
    results = json.loads((folder / "results.json").read_text())
    results["data_sha256"] = {}
    results["efficiency"]["parameters"] = 1000
    for scores in results["tasks"].values():
        scores["stderr"] = 0.25
    fake.write_json(folder / "results.json", results)
    fake.write_json(folder / "status.json", {"state": "done", "heartbeat": 1.7e9})
    fake.write_json(root / "runs/s/plan.json", {"commands": [f"python launch.py x={SECRET}"]})
    packages = {"transformers": "5.0", "lm-eval": "0.4.13"}
    provenance = {"packages": packages, "python": "3.11", "processor": "x86", "git_commit": "d"}
    sealed = {"config.yaml", "status.json", "manifest.json"}
    manifest = {
        "schema_version": 1, "kind": "run", "needs": {}, "arm": "arm", "seed": 42,
        "ledger": fake.LEDGER, "provenance": provenance, "files": hashes(folder, but=sealed),
    }  # fmt: skip
    write_sealed(folder / "manifest.json", manifest)
    return folder


def publish(folder: Path, repository: str | None = "me/mine") -> Path:
    return write_published_folder(read_published_run(folder), folder.parent / "out", repository)


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_hub_reads_its_own_format_of_what_compares(tmp_path):
    output = publish(write_run(tmp_path))
    assert [path.name for path in (output / ".eval_results").iterdir()] == ["gsm8k.yaml"]
    (entry,) = parse_eval_result_entries(
        yaml.safe_load((output / ".eval_results/gsm8k.yaml").read_text())
    )
    assert (entry.dataset_id, entry.task_id, entry.value) == ("openai/gsm8k", "main", 75.0)
    assert entry.dataset_revision == REVISION
    assert entry.date == "2023-11-14T22:13:20Z"
    assert "4 items of test; 4 worked examples" in entry.notes


@pytest.mark.parametrize("limit", [4, {"gsm8k": 4}])
def test_a_sample_is_no_score_of_a_benchmark(tmp_path, limit):
    assert not (publish(write_run(tmp_path, limit)) / ".eval_results").exists()


def test_the_card_is_one_of_the_hubs_and_has_every_score(tmp_path):
    card = ModelCard.load(publish(write_run(tmp_path)) / "README.md")
    assert card.data.base_model == "a/b"
    assert card.data.datasets == ["openai/gsm8k"]
    assert "model-index" not in card.data.to_dict(), "the format of before"
    assert "taught by big" in card.text
    assert all(f"| {task} | 75.0 | 4 |" in card.text for task in TASKS)


def test_lm_evals_shape_has_metric_version_and_items_of_each_task(tmp_path):
    results = read_json(publish(write_run(tmp_path)) / "results/lm_eval.json")
    assert results["results"]["gsm8k"]["exact_match,none"] == 0.75
    assert results["results"]["gsm8k"]["exact_match_stderr,none"] == 0.25
    for key in ("configs", "versions", "n-shot", "higher_is_better", "n-samples"):
        assert set(results[key]) == set(TASKS), key
    assert results["n-shot"]["gsm8k"] == 4


def test_a_record_of_every_eval_ever_has_what_its_schema_asks(tmp_path):
    record = read_json(publish(write_run(tmp_path)) / "results/every_eval_ever.json")
    assert record["schema_version"] == "0.3.0"
    assert record["model_info"]["id"] == "me/mine"
    assert {"deployment_type", "model_availability"} <= set(
        record["model_info"]["additional_details"]
    )
    sources = [each["source_data"]["source_type"] for each in record["evaluation_results"]]
    assert sources == ["hf_dataset", "hf_dataset", "other"]
    score = record["evaluation_results"][0]["score_details"]
    assert score["score"] == 0.75
    assert all(isinstance(value, str) for value in score["details"].values())


def test_what_makes_the_run_again_names_no_place_and_no_secret(tmp_path):
    output = publish(write_run(tmp_path))
    text = (output / "results/reproduce.json").read_text()
    assert SECRET not in text
    assert "/home/me/secret" not in text
    made = json.loads(text)
    assert made["recipe"]["student"]["name"] == "small"
    assert set(made["model_sha256"]) == {"config.json", "model.safetensors"}
    assert made["packages"]["transformers"] == "5.0"


def test_whoever_edits_the_folder_does_not_edit_the_run(tmp_path):
    folder = write_run(tmp_path)
    output = publish(folder)
    (output / "config.json").write_text("edited")
    read_published_run(folder)
    assert (output / "model.safetensors").stat().st_nlink == 2, "weights are not there twice"


def test_twice_is_the_same_as_once(tmp_path):
    folder = write_run(tmp_path)
    once = hashes(publish(folder))
    assert hashes(publish(folder)) == once


def test_an_altered_run_and_one_without_a_student_are_refused(tmp_path):
    altered = write_run(tmp_path / "a")
    (altered / "model/model.safetensors").write_text("other")
    with pytest.raises(ArtifactError, match="altered"):
        read_published_run(altered)
    with pytest.raises(ConfigError, match=r"publish\.run=seed42-ab has no student of its own"):
        read_published_run(write_run(tmp_path / "b", trained=False, model=False))
    with pytest.raises(ConfigError, match=r"publish\.run=seed42-ab.*train\.keep_model=true"):
        read_published_run(write_run(tmp_path / "c", model=False))
