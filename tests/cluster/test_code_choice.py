"""What other code has made is refused, set aside or accepted, before anything is computed."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill import layout
from kvdistill.cluster.code_choice import check_node_code, check_plan_code, settle_changes
from kvdistill.errors import ConfigError
from kvdistill.files import read_json, write_json, write_sealed
from kvdistill.history import read_history
from kvdistill.plan.code.fingerprint import fingerprint_node
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.freeze import find_planned_folder
from kvdistill.plan.graph import Node
from kvdistill.plan.study_plan import Question, RunEntry, StudyPlan

STEP = "kvdistill.train.step"
SPLIT = "kvdistill.data.split"


def make_plan(root: Path, *seeds: int, code: str = "refuse", study: str = "s") -> Plan:
    """A question of one arm; its runs read a split."""
    config = {"trained": True, "student": {}, "data": {}, "tasks": {}, "arm": "kv", "code": code}
    plan = Plan(root, study, config=config)
    plan.artifacts["split-1"] = Node("split", "split-1", {"data": {}}, {})
    for seed in seeds:
        node = Node("run", f"seed{seed}-{seed}", config | {"seed": seed}, {"split": "split-1"})
        plan.runs[str(seed)] = PlannedRun(node, dict(node.recipe), "recipe", 1)
    plan.questions["q"] = Question("?", arms={"kv": {str(seed): str(seed) for seed in seeds}})
    return plan


def finish(root: Path, node: Node, study: str = "s", **other: str) -> Path:
    """A finished folder, made by the code as it is but for `other` versions; None: unknown code."""
    folder = layout.artifact_folder(root, node.name)
    if node.kind == "run":
        folder = layout.run_folder(root, study, node.name)
    code = fingerprint_node(node).to_json()
    code["modules"] |= {name.replace("__", "."): digest for name, digest in other.items()}
    write_sealed(folder / layout.MANIFEST, {"code": code})
    return folder


def freeze(plan: Plan, **more: Any) -> None:
    """plan.json of runs that an earlier command asked for."""
    entries = {
        identity: RunEntry(f"runs/{plan.study}/runs/{run.node.name}", "kv", 0, "recipe", True, 1)
        for identity, run in plan.runs.items()
    }
    study = layout.study_folder(plan.root, plan.study)
    StudyPlan(plan.study, questions=plan.questions, runs=entries, **more).write(study)


def test_what_the_code_as_it_is_has_made_is_reused(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1)
    for node in (plan.artifacts["split-1"], plan.runs["1"].node):
        finish(tmp_path, node)
    assert check_plan_code(plan) == []
    assert {*plan.code} == {"split-1", "seed1-1"}


def test_a_finished_run_of_other_code_is_refused_with_the_ways_out(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1, 2)
    finish(tmp_path, plan.runs["1"].node, kvdistill__train__step="other")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConfigError, match=r"made by other code: train.step \(1 run: seed1-1\)\."):
        check_plan_code(plan)
    assert sorted(tmp_path.rglob("*")) == before


def test_rerun_sets_aside_what_changed_and_what_reads_it(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1, code="rerun")
    split = finish(tmp_path, plan.artifacts["split-1"], kvdistill__data__split="other")
    run = finish(tmp_path, plan.runs["1"].node)
    settle_changes(plan, check_plan_code(plan))
    assert plan.remade == {"split-1", "seed1-1"}
    assert not split.exists()
    assert not run.exists()
    events = read_history(tmp_path).select("s", "set_aside")
    assert [event.facts["name"] for event in events] == ["split-1", "seed1-1"]
    assert events[0].facts["modules"] == [SPLIT]
    assert all((tmp_path / event.facts["folder"] / layout.MANIFEST).is_file() for event in events)
    assert all("runs/s/set_aside/" in event.facts["folder"] for event in events)


def test_what_another_study_has_finished_stays_there_and_is_made_here(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1, code="rerun")
    other = finish(tmp_path, plan.runs["1"].node, "other", kvdistill__train__step="other")
    settle_changes(plan, check_plan_code(plan))
    assert (other / layout.MANIFEST).is_file()
    assert find_planned_folder(plan, "seed1-1") == layout.run_folder(tmp_path, "s", "seed1-1")


def test_accept_is_recorded_and_asked_once(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1, code="accept")
    finish(tmp_path, plan.runs["1"].node, kvdistill__train__step="other")
    settle_changes(plan, check_plan_code(plan))
    (entry,) = plan.accepted_code
    assert entry["runs"] == ["seed1-1"]
    assert "other" in entry["versions"][STEP]
    assert read_history(tmp_path).select("s", "code_accepted")[0].facts == entry
    freeze(plan, accepted_code=plan.accepted_code)
    again = make_plan(tmp_path, 1)
    assert check_plan_code(again) == []
    assert again.accepted_code == []


def test_a_new_seed_is_not_pooled_with_seeds_of_other_code(tmp_path: Path) -> None:
    """The command does not ask for those: `rerun` would leave them as they are."""
    old = make_plan(tmp_path, 1)
    finish(tmp_path, old.runs["1"].node, kvdistill__train__step="other")
    freeze(old)
    with pytest.raises(ConfigError, match=r"made by other code: train.step \(1 run: seed1-1\)"):
        check_plan_code(make_plan(tmp_path, 2))
    with pytest.raises(ConfigError, match="does not ask for these"):
        check_plan_code(make_plan(tmp_path, 2, code="rerun"))
    assert check_plan_code(make_plan(tmp_path, 2, code="accept"))


def test_a_retry_is_checked_against_the_question_that_holds_its_run(tmp_path: Path) -> None:
    old = make_plan(tmp_path, 1, 2)
    finish(tmp_path, old.runs["1"].node, kvdistill__train__step="other")
    freeze(old)
    retry = make_plan(tmp_path, 2)
    retry.questions.clear()
    with pytest.raises(ConfigError, match=r"made by other code: train\.step"):
        check_plan_code(retry)


def test_what_is_of_unknown_code_is_refused_by_name(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1)
    write_sealed(layout.run_folder(tmp_path, "s", "seed1-1") / layout.MANIFEST, {})
    with pytest.raises(ConfigError, match="made before code was recorded \\(1 run: seed1-1\\)"):
        check_plan_code(plan)


def test_a_begun_run_goes_on_only_with_the_code_that_began_it(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1)
    folder = layout.run_folder(tmp_path, "s", "seed1-1")
    code = fingerprint_node(plan.runs["1"].node).to_json()
    code["modules"][STEP] = "other"
    write_json(folder / layout.CODE, code)
    assert check_plan_code(plan) == []  # it failed before its first checkpoint: nothing is kept
    (folder / layout.CHECKPOINTS / "checkpoint-1").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"made by other code: train\.step"):
        check_plan_code(plan)
    anew = make_plan(tmp_path, 1, code="rerun")
    settle_changes(anew, check_plan_code(anew))
    assert not folder.exists()


def test_a_command_that_only_builds_artefacts_is_checked_too(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1)
    finish(tmp_path, plan.artifacts["split-1"], kvdistill__data__split="other")
    with pytest.raises(ConfigError, match=r"made by other code: data.split \(1 artefact: split-1"):
        check_node_code(plan, [plan.artifacts["split-1"]])


def test_a_manifest_that_cannot_be_read_is_the_reports_to_name(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 1)
    folder = finish(tmp_path, plan.runs["1"].node)
    write_json(folder / layout.MANIFEST, read_json(folder / layout.MANIFEST) | {"seal": "x"})
    assert check_plan_code(plan) == []
