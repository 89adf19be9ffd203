"""Which modules are part of a run, and what an edit of one of them changes."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from kvdistill.errors import ConfigError
from kvdistill.plan.code.fingerprint import CodeFingerprint, fingerprint_node
from kvdistill.plan.code.reach import NO_SCIENCE, PACKAGE, PackageCode, is_without_science
from kvdistill.plan.graph import Node

TARGET = "kvdistill.fusion.mine.Mine"
RUN: dict[str, Any] = {
    "trained": True,
    "student": {},
    "data": {"source": {"_target_": "kvdistill.data.sources.nano.Nano"}},
    "tasks": {"tasks": ["nano_logic"], "beside": []},
    "fusion": {"_target_": TARGET},
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with a strategy that is in no commit."""
    package = tmp_path_factory.mktemp("src") / "kvdistill"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "fusion/mine.py").write_text("from kvdistill.fusion import helper\nA = 1\n")
    (package / "fusion/helper.py").write_text("B = 1\n")
    return package


def fingerprint(package: Path, kind: str = "run", **settings: Any) -> CodeFingerprint:
    return fingerprint_node(Node(kind, "name", RUN | settings, {}), code=PackageCode(package))


def edit(package: Path, name: str, old: str, new: str) -> None:
    path = package / name
    text = path.read_text("utf-8")
    assert re.search(old, text)
    path.write_text(re.sub(old, new, text, count=1), "utf-8")


@pytest.mark.integration
def test_a_users_strategy_and_what_it_imports_are_part_of_a_run(copied: Path) -> None:
    modules = fingerprint(copied).modules
    assert {"kvdistill.fusion.mine", "kvdistill.fusion.helper"} <= {*modules}
    assert {"kvdistill.train.step", "kvdistill.evaluate.grading.graders"} <= {*modules}
    assert {"evaluate/tasks/nano_logic.yaml", "evaluate/tasks/_nano_cot_yaml"} <= {*modules}
    assert not {m for m in modules if m.startswith(("kvdistill.report", "kvdistill.cli"))}
    assert "kvdistill.fusion.learnable" not in modules
    assert "evaluate/tasks/bbh.yaml" not in modules


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("fusion/helper.py", "B = 1", "B = 2"),
     ("train/step.py", r"\Z", "X = 1\n"),
     ("evaluate/tasks/_nano_cot_yaml", r"\Z", "more: 1\n"),
     ("jobs/builders.py", r"facts = train_run", "facts = 1 and train_run")],
)  # fmt: skip
def test_an_edit_of_what_it_executes_is_other_code(
    copied: Path, name: str, old: str, new: str
) -> None:
    text = (copied / name).read_text("utf-8")
    before = fingerprint(copied)
    edit(copied, name, old, new)
    changes = before.find_changes(fingerprint(copied), same_recipe=True)
    (copied / name).write_text(text, "utf-8")
    assert len(changes) == 1
    assert before.fingerprint == fingerprint(copied).fingerprint


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("train/step.py", "^", "# a comment\n"), ("report/build.py", "^", "X = 1\n"),
     ("fusion/learnable.py", "^", "X = 1\n"), ("jobs/builders.py", r"\Z", "X = 1\n")],
)  # fmt: skip
def test_an_edit_of_anything_else_is_not(copied: Path, name: str, old: str, new: str) -> None:
    text = (copied / name).read_text("utf-8")
    before = fingerprint(copied)
    edit(copied, name, old, new)
    after = fingerprint(copied)
    (copied / name).write_text(text, "utf-8")
    assert after.fingerprint == before.fingerprint


def test_a_module_that_no_python_could_run_is_named(copied: Path) -> None:
    text = (copied / "fusion/helper.py").read_text("utf-8")
    (copied / "fusion/helper.py").write_text("A = 1\nB = (\n", "utf-8")
    with pytest.raises(ConfigError, match=r"fusion/helper.py, line 2: .* was never closed"):
        fingerprint(copied)
    (copied / "fusion/helper.py").write_text(text, "utf-8")


def test_what_trains_nothing_is_not_made_by_the_trainer(copied: Path) -> None:
    modules = fingerprint(copied, trained=False).modules
    assert not {m for m in modules if m.startswith(("kvdistill.train", "kvdistill.fusion"))}
    assert "kvdistill.evaluate.harness" in modules


def test_one_code_is_one_code_whether_an_arm_trains_or_not(copied: Path) -> None:
    trained, raw = fingerprint(copied), fingerprint(copied, trained=False)
    assert trained.find_changes(raw) == {}
    text = (copied / "jobs/builders.py").read_text("utf-8")
    edit(copied, "jobs/builders.py", r"def evaluate_run\(.*", r"\g<0>\n    pass")
    changes = raw.find_changes(fingerprint(copied))
    (copied / "jobs/builders.py").write_text(text, "utf-8")
    assert {*changes} == {"kvdistill.jobs.builders.evaluate_run"}


def test_an_artefact_is_made_by_its_own_builder(copied: Path) -> None:
    modules = fingerprint(copied, "split").modules
    assert "kvdistill.data.split" in modules
    assert not {m for m in modules if m.startswith("kvdistill.train")}


def test_what_is_left_out_exists() -> None:
    """A module that moves must not take its name out of the list unseen."""
    code = PackageCode()
    assert [n for n in NO_SCIENCE if code.locate_module(f"kvdistill.{n}") is None] == []
    assert is_without_science("kvdistill.report.figures.forest")
    assert not is_without_science("kvdistill.reporting")


def test_arms_differ_only_in_what_both_execute() -> None:
    one = CodeFingerprint({"a": "1", "b": "1"}, {"model-x": "1"})
    two = CodeFingerprint({"a": "1", "c": "1"}, {"model-x": "2"})
    assert one.find_changes(two) == {"model-x": {"1", "2"}}
    assert {*one.find_changes(two, same_recipe=True)} == {"b", "c", "model-x"}


def test_a_run_that_was_resumed_by_other_code_differs_from_any() -> None:
    resumed = CodeFingerprint({"a": "2"}, {}, [{"a": "1"}])
    assert resumed.find_changes(CodeFingerprint({"a": "2"})) == {"a": {"1", "2"}}
    again = CodeFingerprint.from_json(resumed.to_json())
    assert again == resumed
    assert CodeFingerprint.from_json(None) is None


def test_replicates_are_of_one_code_wherever_their_teachers_are_read() -> None:
    live = {"_target_": "kvdistill.kv.online.Online", "_partial_": True}
    either = {"_target_": "kvdistill.kv.live_or_stored.LiveOrStored", "_partial_": True}
    taught = {"teachers": {"a": {}}}
    one, other = (
        fingerprint(PACKAGE, **taught, source=each)
        for each in (live, {**either, "read": "stored", "stored": {"dtype": "float32"}})
    )
    assert one.modules == other.modules
    assert {"kvdistill.kv.store", "kvdistill.kv.online"} <= {*one.modules}
    assert "kvdistill.kv.store" not in fingerprint(PACKAGE, source=live, teachers={}).modules


def test_a_store_that_only_one_of_two_replicates_read_is_no_change_of_code() -> None:
    live, stored, newer = (
        CodeFingerprint({"m": "1"}, {"split-1": "s", **stores})
        for stores in ({}, {"kv-1": "a"}, {"kv-1": "b"})
    )
    assert not live.find_changes(stored, same_recipe=True)
    assert not stored.find_changes(live, same_recipe=True)
    assert {*stored.find_changes(newer, same_recipe=True)} == {"kv-1"}
    moved = CodeFingerprint({"m": "1"}, {"split-2": "s"})
    assert {*stored.find_changes(moved, same_recipe=True)} == {"split-1", "split-2"}
