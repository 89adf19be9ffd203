"""Records are read as written, or not at all; a folder that cannot be read stops no other."""

import json
import shutil
from pathlib import Path

import pytest

from kvdistill.files import hashes, read_sealed, write_sealed
from kvdistill.stats.load import RECORDS, load_study
from tests.stats import fake

SPOILT = [(name, how) for name in RECORDS for how in ("flipped", "cut", "removed")]
SPOILT += [("manifest.json", "flipped"), ("manifest.json", "cut")]  # without one: unfinished
ROUTING = {"one": {"a": 0.25, "b": 0.75}}


def write_finished_study(root: Path) -> tuple[Path, Path]:
    """A study of one run, completed as a job completes it; (its folder, the run's)."""
    study = fake.write_study(root, {"q": {"multi": 0.3}}, seeds=(7,), tasks={"one": 20})
    (run,) = (study / "runs").iterdir()
    fake.write_json(run / "routing.json", {"weights": ROUTING})
    manifest = read_sealed(run / "manifest.json")
    write_sealed(run / "manifest.json", manifest | {"files": hashes(run, but={"manifest.json"})})
    return study, run


@pytest.mark.parametrize(("name", "how"), SPOILT)
def test_an_altered_record_is_named_and_no_number_is_read(
    tmp_path: Path, name: str, how: str
) -> None:
    study, run = write_finished_study(tmp_path)
    load_study([study])
    path = run / name
    data = bytearray(path.read_bytes())
    if how == "removed":
        path.unlink()
    else:
        where = data.rindex(b"0")  # a digit, so that JSON stays JSON
        data[where] ^= 1
        path.write_bytes(data if how == "flipped" else data[: len(data) // 2])
    loaded = load_study([study])
    (record,) = loaded.runs.values()
    assert (record.state, record.scores, record.manifest) == ("unreadable", {}, {})
    (problem,) = loaded.problems
    assert problem.startswith(f"multi, seed 7: no number of {run.name} is read. ")
    assert name in problem


ARMS = {"sft": 0.0, "kv": 0.3}


def break_folder(run: Path, how: str) -> None:
    """What becomes of run folders by hand."""
    if how == "deleted":
        shutil.rmtree(run)
    elif how == "renamed":
        run.rename(run.with_name("old"))
    elif how == "half there":
        (run / "results.json").unlink()
    elif how == "of another version":
        fake.write_json(run / "results.json", {"tasks": {"one": 0.5}})
    else:
        (run / "manifest.json").unlink()
        (run / "status.json").write_text("{")


BREAKS = ("deleted", "renamed", "half there", "of another version", "cut status")


@pytest.mark.parametrize("how", BREAKS)
def test_one_broken_folder_is_named_and_leaves_a_gap_in_its_arm(tmp_path: Path, how: str) -> None:
    study = fake.write_study(tmp_path, {"q": ARMS}, tasks={"one": 20})
    identity = json.loads((study / "plan.json").read_text())["questions"]["q"]["arms"]["kv"]["43"]
    break_folder(study / "runs" / f"seed43-{identity}", how)
    loaded = load_study([study])
    arm = loaded.questions["q"].arms["kv"]
    state = "gone" if how in ("deleted", "renamed") else "unreadable"
    assert arm.list_gaps("macro", loaded.tasks) == [f"seed 43 ({state})"]
    (problem,) = loaded.problems
    assert problem.startswith("kv, seed 43: ")
    assert loaded.questions["q"].arms["sft"].list_gaps("macro", loaded.tasks) == []


def test_a_config_of_which_no_science_can_be_read_leaves_its_run_out_by_name(
    tmp_path: Path,
) -> None:
    folder = fake.write_study(tmp_path, {"q": {"a": 0.0, "b": 0.5}}, seeds=(1, 2))
    plan = json.loads((folder / "plan.json").read_text())
    path = tmp_path / plan["runs"][plan["questions"]["q"]["arms"]["a"]["1"]]["folder"]
    fake.write_config(path, {"arm": "a", "seed": 1, "trained": True})
    study = load_study([folder])
    assert study.questions["q"].arms["a"].runs[1].state == "unreadable"
    (problem,) = study.problems
    assert "config.yaml lacks 'student'" in problem


def test_an_unfinished_run_has_the_settings_that_it_was_frozen_with(tmp_path: Path) -> None:
    study, run = write_finished_study(tmp_path)
    (run / "manifest.json").unlink()
    (loaded,) = load_study([study]).runs.values()
    assert (loaded.done, loaded.config["train"]["lr"]) == (False, 0.001)
    (run / "config.yaml").unlink()
    (loaded,) = load_study([study]).runs.values()
    assert (loaded.done, loaded.config) == (False, {})


def test_a_failed_run_has_the_reason_that_it_gave(tmp_path: Path) -> None:
    study, run = write_finished_study(tmp_path)
    (run / "manifest.json").unlink()
    fake.write_json(run / "status.json", {"state": "failed", "error": "out of memory"})
    (record,) = load_study([study]).runs.values()
    assert (record.state, record.error) == ("failed", "out of memory")
