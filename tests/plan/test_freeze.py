import json
from pathlib import Path

import pytest
import yaml

SWEEPS = Path(__file__).parents[2] / "sweeps"
pytestmark = pytest.mark.usefixtures("hydra")


def freeze_command(root: Path, *overrides: str) -> dict[str, Path]:
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.freeze import freeze_plan

    return freeze_plan(expand_command([[f"root={root}", *overrides]], SWEEPS))


def test_every_job_finds_its_recipe_in_its_own_folder(tmp_path: Path) -> None:
    for name, folder in freeze_command(tmp_path).items():
        written = yaml.safe_load((folder / "config.yaml").read_text())
        assert written["kind"] == ("run" if "runs" in folder.parts else name.split("-")[0])


def test_what_is_written_is_never_rewritten(tmp_path: Path) -> None:
    folders = freeze_command(tmp_path)
    path = (
        next(folder for name, folder in folders.items() if name.startswith("seed")) / "config.yaml"
    )
    path.write_text("kept: true\n")
    freeze_command(tmp_path)
    assert path.read_text() == "kept: true\n"


def test_a_setting_that_a_begun_run_does_not_take_is_named(tmp_path: Path) -> None:
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.freeze import describe_kept_settings

    def describe(*overrides: str) -> list[str]:
        plan = expand_command([[f"root={tmp_path}", *overrides]], SWEEPS)
        return list(describe_kept_settings(plan))

    assert not describe("train.save_steps=7")
    folder = run_folder(freeze_command(tmp_path, "train.save_steps=7"))
    assert not describe("train.save_steps=7", "stats.confidence=0.9", "cluster.max_parallel=1")
    (line,) = describe("train.save_steps=9", "train.packing=false")
    assert line.startswith("3 runs begun before will end as frozen: ")
    assert "train.packing is true there and false here; train.save_steps is 7 there and 9" in line
    # One that failed is frozen anew, so the command's settings are its own.
    (folder / "status.json").write_text('{"state": "failed"}')
    (line,) = describe("train.save_steps=9")
    assert line.startswith("2 runs begun")
    # Of one that is spoilt its job speaks: the others need not wait.
    (folder / "status.json").unlink()
    (folder / "config.yaml").write_text("spoilt: true\n")
    (line,) = describe("train.save_steps=9")
    assert line.startswith("2 runs begun")


@pytest.mark.integration
@pytest.mark.parametrize("at", [0.0, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("how", ["flipped", "cut", "removed"])
def test_a_config_that_is_not_as_written_is_named(tmp_path: Path, how: str, at: float) -> None:
    from kvdistill.errors import ArtifactError
    from kvdistill.plan.frozen_recipe import read_recipe

    folder = run_folder(freeze_command(tmp_path))
    path = folder / "config.yaml"
    content = path.read_bytes()
    assert read_recipe(folder).recipe["budget"]
    place = int(at * len(content))
    if how == "flipped":
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    elif how == "cut":
        path.write_bytes(content[:place])
    else:
        path.unlink()
    with pytest.raises(ArtifactError, match=rf"^{path} is (altered|missing).* the command"):
        read_recipe(folder)


def test_a_second_command_joins_the_study(tmp_path: Path) -> None:
    freeze_command(tmp_path, "seed=1")
    freeze_command(tmp_path, "seed=2")
    plan = json.loads((tmp_path / "runs/nano/plan.json").read_text())
    assert list(plan["questions"]["runs"]["arms"]["multi_teacher"]) == ["1", "2"]


def test_the_study_keeps_what_was_typed_each_once(tmp_path: Path) -> None:
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.freeze import freeze_plan

    for command in ("one", "two", "one", ""):
        plan = expand_command([[f"root={tmp_path}"]], SWEEPS)
        plan.command = command
        freeze_plan(plan)
    assert json.loads((tmp_path / "runs/nano/plan.json").read_text())["commands"] == ["one", "two"]


def test_a_label_that_meant_another_run_says_what_sets_it_apart(tmp_path: Path) -> None:
    freeze_command(tmp_path)
    freeze_command(tmp_path, "train.lr=0.5")
    freeze_command(tmp_path, "train.lr=0.5")
    plan = json.loads((tmp_path / "runs/nano/plan.json").read_text())
    assert list(plan["questions"]["runs"]["arms"]) == [
        "multi_teacher", "multi_teacher (train.lr=0.5)"
    ]  # fmt: skip


def test_a_run_finished_in_another_study_is_used_from_there(tmp_path: Path) -> None:
    name = next(n for n in freeze_command(tmp_path, "study=one") if n.startswith("seed"))
    (tmp_path / "runs/one/runs" / name / "manifest.json").write_text("{}")
    assert freeze_command(tmp_path, "study=two")[name] == tmp_path / "runs/one/runs" / name


def test_a_failed_jobs_execution_may_be_changed(tmp_path: Path) -> None:
    one, other = ["budget.batch_size=64"], ["budget.batch_size=32", "budget.num_gpus=2"]
    folder = run_folder(freeze_command(tmp_path, *one))
    assert run_folder(freeze_command(tmp_path, *other)) == folder
    assert read_num_gpus(folder) == 1  # it may be queued or running
    (folder / "status.json").write_text(json.dumps({"state": "failed"}))
    freeze_command(tmp_path, *other)
    assert read_num_gpus(folder) == 2
    (folder / "manifest.json").write_text("{}")
    freeze_command(tmp_path, *one)
    assert read_num_gpus(folder) == 2


def run_folder(folders: dict[str, Path]) -> Path:
    return next(folder for name, folder in folders.items() if name.startswith("seed"))


def read_num_gpus(folder: Path) -> int:
    num_gpus: int = yaml.safe_load((folder / "config.yaml").read_text())["recipe"]["budget"][
        "num_gpus"
    ]
    return num_gpus


def test_what_a_run_was_to_take_stands_when_it_is_tried_again(tmp_path: Path) -> None:
    from kvdistill.cli.retry import plan_failed_runs
    from kvdistill.config.compose import compose
    from kvdistill.plan.freeze import freeze_plan

    folder = run_folder(freeze_command(tmp_path))
    (folder / "status.json").write_text(json.dumps({"state": "failed", "error": "broke"}))
    study = folder.parents[1]
    before = json.loads((study / "plan.json").read_text())["runs"]
    freeze_plan(plan_failed_runs(tmp_path, study, compose([f"root={tmp_path}"])))
    after = json.loads((study / "plan.json").read_text())["runs"]
    assert after == before
    trained = [entry["foretold"] for entry in after.values() if entry["trained"]]
    assert trained
    assert all(foretold["step_flops"] > 0 for foretold in trained)
