"""What trackers are told of a run, and where they write."""

import json
import os
from pathlib import Path

import pytest

from kvdistill.plan.study_plan import Question, StudyPlan
from kvdistill.train.tracking.environment import (
    check_tracker_package,
    read_tracker_run,
    set_tracker_environment,
    write_tracker_run,
)
from kvdistill.train.tracking.run_facts import collect_run_facts

CONFIG = {
    "arm": "sft", "seed": 7, "choices": {"loss/tokens": "all"}, "loss": {"kv_weight": 0.5},
    "data": {"source": {"path": "http://me:hunter22hunter22@host/x"}}, "limits": [1, 2],
}  # fmt: skip


def write_plan(tmp_path: Path) -> Path:
    study = tmp_path / "runs/s"
    folder = study / "runs/seed7-abc"
    folder.mkdir(parents=True)
    arms = {"plain": {"7": "abc"}, "other": {"7": "zzz"}}
    questions = {name: Question(name, arms=arms) for name in ("q", "p")}
    StudyPlan("s", questions=questions).write(study)
    return folder


def test_where_a_run_stands_its_settings_and_its_code_are_fields(tmp_path: Path) -> None:
    facts = collect_run_facts(CONFIG, write_plan(tmp_path))
    assert (facts["study"], facts["question"], facts["label"]) == ("s", "q, p", "plain")
    assert (facts["run"], facts["arm"], facts["seed"]) == ("seed7-abc", "sft", 7)
    assert "git_commit" in facts
    assert facts["group.loss.tokens"] == "all"
    assert facts["config.loss.kv_weight"] == 0.5
    assert facts["config.limits"] == "[1, 2]"


def test_no_secret_is_told(tmp_path: Path) -> None:
    assert "hunter22" not in json.dumps(collect_run_facts(CONFIG, write_plan(tmp_path)))


def test_a_run_without_a_plan_beside_it_has_no_question(tmp_path: Path) -> None:
    folder = tmp_path / "runs/s/runs/seed7-abc"
    folder.mkdir(parents=True)
    assert collect_run_facts(CONFIG, folder)["question"] == ""


@pytest.mark.parametrize("tracker", ["wandb", "mlflow", "trackio", "tensorboard"])
def test_trackers_write_below_the_root_or_where_the_user_says(
    tracker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {})
    folder = write_plan(tmp_path)
    set_tracker_environment(tracker, folder)
    places = [v for name, v in os.environ.items() if name.endswith(("DIR", "URI"))]
    assert places
    assert all(str(tmp_path) in place for place in places)
    monkeypatch.setattr(os, "environ", dict.fromkeys(os.environ, "mine"))
    set_tracker_environment(tracker, folder)
    assert all(v == "mine" for name, v in os.environ.items() if name.endswith(("DIR", "URI")))


def test_a_run_goes_on_in_its_own_run_of_the_tracker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", {"WANDB_RUN_ID": "another", "MLFLOW_RUN_ID": "another"})
    folder = write_plan(tmp_path)
    set_tracker_environment("wandb", folder)
    assert os.environ["WANDB_RUN_ID"] == folder.name
    assert read_tracker_run(folder) is None
    set_tracker_environment("mlflow", folder)
    assert "MLFLOW_RUN_ID" not in os.environ
    write_tracker_run(folder, "mlflow", "own")
    set_tracker_environment("mlflow", folder)
    assert os.environ["MLFLOW_RUN_ID"] == "own"


def test_a_tracker_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.train.tracking import environment

    monkeypatch.setattr(environment, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"train\.report_to=wandb needs the package wandb"):
        check_tracker_package("wandb")
    check_tracker_package("none")
