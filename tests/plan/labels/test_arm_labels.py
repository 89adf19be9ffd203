"""A label holds one recipe, whichever command, file or process puts a run under it."""

import json
from pathlib import Path
from typing import Any

import pytest

SWEEPS = Path(__file__).parents[3] / "sweeps"
FILE = """
question: Which?
arms:
  plain: {arm: sft, train.lr: 1.0e-3}
  taught: {arm: single_teacher}
seeds: [1, 2]
"""
pytestmark = pytest.mark.usefixtures("hydra")


def freeze_command(root: Path, *overrides: str, sweeps: Path = SWEEPS) -> None:
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.freeze import freeze_plan

    freeze_plan(expand_command([[f"root={root}", *overrides]], sweeps))


def read_plan(root: Path) -> Any:
    return json.loads((root / "runs/nano/plan.json").read_text())


def read_arms(root: Path, question: str = "runs") -> dict[str, list[str]]:
    return {k: list(v) for k, v in read_plan(root)["questions"][question]["arms"].items()}


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.integration
def test_three_recipes_of_three_commands_have_a_label_each(tmp_path: Path) -> None:
    freeze_command(tmp_path)
    freeze_command(tmp_path, "fusion=learnable", "seed=43")
    freeze_command(tmp_path, "fusion=similarity", "seed=44")
    assert read_arms(tmp_path) == {
        "multi_teacher": ["42"],
        "multi_teacher (fusion=learnable)": ["43"],
        "multi_teacher (fusion=similarity)": ["44"],
    }


def test_another_seed_of_a_recipe_joins_its_own_label(tmp_path: Path) -> None:
    freeze_command(tmp_path)
    freeze_command(tmp_path, "fusion=learnable", "seed=43")
    freeze_command(tmp_path, "fusion=learnable", "seed=44")
    freeze_command(tmp_path, "seed=45")
    assert read_arms(tmp_path) == {
        "multi_teacher": ["42", "45"],
        "multi_teacher (fusion=learnable)": ["43", "44"],
    }


def test_a_label_says_what_differs_and_not_what_arms_share(tmp_path: Path) -> None:
    shared = ["train.lr=0.5", "budget.total_tokens=8192", "compression=full"]
    freeze_command(tmp_path, *shared, "fusion=learnable")
    freeze_command(tmp_path, *shared, "fusion=learnable", "loss.kv_weight=3.0")
    assert list(read_arms(tmp_path)) == ["multi_teacher", "multi_teacher (loss.kv_weight=3.0)"]


@pytest.mark.integration
def test_a_setting_inside_a_choice_that_differs_too_keeps_labels_apart(tmp_path: Path) -> None:
    freeze_command(tmp_path)
    freeze_command(tmp_path, "layers=shallow")
    freeze_command(tmp_path, "layers=shallow", "layers/map=reversed")
    assert list(read_arms(tmp_path)) == [
        "multi_teacher",
        "multi_teacher (layers=shallow)",
        "multi_teacher (layers=shallow layers/map=reversed)",
    ]


def test_two_labels_that_one_command_asks_for_stay_two(tmp_path: Path) -> None:
    from kvdistill.plan.expand import expand_command

    plan = expand_command(
        [[f"root={tmp_path}", f"arm={a}"] for a in ("multi_teacher", "aa")], SWEEPS
    )
    assert list(plan.questions["arm"].arms) == ["arm=multi_teacher", "arm=aa"]
    assert len({run.recipe for run in plan.runs.values() if run.config["trained"]}) == 1


def test_an_edited_arm_is_refused_with_what_differs_and_the_ways_out(tmp_path: Path) -> None:
    from kvdistill.errors import ConfigError

    (tmp_path / "q.yaml").write_text(FILE)
    freeze_command(tmp_path / "root", "sweep=q", sweeps=tmp_path)
    before = snapshot(tmp_path / "root")
    (tmp_path / "q.yaml").write_text(FILE.replace("1.0e-3", "2.0e-3").replace("[1, 2]", "[3]"))
    with pytest.raises(ConfigError) as refusal:
        freeze_command(tmp_path / "root", "sweep=q", sweeps=tmp_path)
    line = str(refusal.value)
    assert "label plain of question q holds another recipe in study=nano (seed 1, 2)" in line
    assert "train.lr is 0.001 there and 0.002 here" in line
    assert "another label" in line
    assert "study=NAME" in line
    assert "stage=withdraw study=nano label=plain reason=WHY" in line
    assert snapshot(tmp_path / "root") == before


@pytest.mark.integration
def test_a_sweep_at_another_budget_is_refused_in_its_study_alone(tmp_path: Path) -> None:
    from kvdistill.errors import ConfigError

    freeze_command(tmp_path, "sweep=ablation_routing")
    changed = ["sweep=ablation_routing", "budget.total_tokens=8192"]
    with pytest.raises(ConfigError, match=r"budget.total_tokens is \d+ there and 8192 here"):
        freeze_command(tmp_path, *changed)
    freeze_command(tmp_path, *changed, "study=short")
    freeze_command(tmp_path, "sweep=ablation_routing", "seed=45")
    assert read_arms(tmp_path, "ablation_routing")["fixed"] == ["42", "43", "44", "45"]


def test_a_recipe_that_another_command_put_there_meanwhile_is_refused(tmp_path: Path) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.freeze import freeze_plan

    root = f"root={tmp_path}"
    early = expand_command([[root, "train.lr=0.5"]], SWEEPS)
    freeze_command(tmp_path)
    with pytest.raises(ConfigError, match=r"label multi_teacher of question runs holds another"):
        freeze_plan(early)
    (run,) = [run.node.name for run in early.runs.values() if run.config["trained"]]
    assert not list(tmp_path.glob(f"runs/*/runs/{run}"))


def test_a_plan_whose_label_held_two_recipes_is_refused_by_name(tmp_path: Path) -> None:
    from kvdistill.errors import ConfigError

    freeze_command(tmp_path)
    freeze_command(tmp_path, "fusion=learnable", "seed=43")
    plan = read_plan(tmp_path)
    arms = plan["questions"]["runs"]["arms"]
    identity = arms.pop("multi_teacher (fusion=learnable)")["43"]
    arms["multi_teacher"]["43"] = identity
    (tmp_path / "runs/nano/plan.json").write_text(json.dumps(plan))
    with pytest.raises(ConfigError) as refusal:
        freeze_command(tmp_path, "seed=44")
    line = str(refusal.value)
    assert "label multi_teacher of question runs holds runs of 2 recipes" in line
    assert "fusion is fixed there and learnable here" in line
    assert f"stage=withdraw study=nano run={identity} reason=WHY" in line


def test_what_cannot_be_read_any_more_is_told_apart_by_its_hash(tmp_path: Path) -> None:
    freeze_command(tmp_path)
    for path in (tmp_path / "runs").rglob("config.yaml"):
        path.unlink()
    freeze_command(tmp_path, "train.lr=0.5", "seed=43")
    first, second = read_arms(tmp_path)
    assert first == "multi_teacher"
    assert second.startswith("multi_teacher (recipe ")


def test_a_teacher_that_is_scored_otherwise_stands_beside_the_first(tmp_path: Path) -> None:
    freeze_command(tmp_path)
    freeze_command(tmp_path, "tasks.max_gen_toks=32", "seed=43")
    names = list(read_plan(tmp_path)["references"])
    assert names[:2] == ["nano-small", "nano-cross"]
    assert names[2:] == ["nano-small (tasks.max_gen_toks=32)", "nano-cross (tasks.max_gen_toks=32)"]


def fail_runs(root: Path, label: str, error: str = "the loss is NaN") -> list[str]:
    """Marks the runs of a label as failed; their identities."""
    from kvdistill.status import StatusWriter

    plan = read_plan(root)
    identities = list(plan["questions"]["runs"]["arms"][label].values())
    for identity in identities:
        StatusWriter(root / plan["runs"][identity]["folder"]).write("failed", error=error)
    return identities


def test_a_label_of_failed_attempts_alone_is_another_recipes_and_the_record_says_so(
    tmp_path: Path,
) -> None:
    from kvdistill.history import read_history

    freeze_command(tmp_path, "train.lr=5")
    (failed,) = fail_runs(tmp_path, "multi_teacher")
    freeze_command(tmp_path)
    plan = read_plan(tmp_path)
    arms = plan["questions"]["runs"]["arms"]
    assert list(arms) == ["multi_teacher"]
    assert failed not in arms["multi_teacher"].values()
    (withdrawn,) = plan["withdrawn"]
    assert withdrawn["runs"] == {"42": failed}
    assert withdrawn["reason"].endswith("has its label now: the loss is NaN")
    (event,) = read_history(tmp_path).select("nano", "withdrawn")
    assert event.facts["label"] == "multi_teacher"
    assert failed in plan["runs"]
    freeze_command(tmp_path)  # and once more: nothing is left to withdraw
    assert len(read_plan(tmp_path)["withdrawn"]) == 1


def test_a_failed_attempt_that_is_tried_again_keeps_its_label(tmp_path: Path) -> None:
    freeze_command(tmp_path, "train.lr=5")
    fail_runs(tmp_path, "multi_teacher")
    freeze_command(tmp_path, "train.lr=5")
    freeze_command(tmp_path, "train.lr=5", "seed=43")
    assert read_arms(tmp_path) == {"multi_teacher": ["42", "43"]}
    assert read_plan(tmp_path)["withdrawn"] == []


def test_one_run_that_has_not_failed_keeps_the_label(tmp_path: Path) -> None:
    from kvdistill.errors import ConfigError

    (tmp_path / "q.yaml").write_text(FILE)
    root = tmp_path / "root"
    freeze_command(root, "sweep=q", sweeps=tmp_path)
    plan = read_plan(root)
    identities = plan["questions"]["q"]["arms"]["plain"]
    from kvdistill.status import StatusWriter

    StatusWriter(root / plan["runs"][identities["1"]]["folder"]).write("failed", error="x")
    (tmp_path / "q.yaml").write_text(FILE.replace("1.0e-3", "2.0e-3"))
    with pytest.raises(ConfigError, match="label plain of question q holds another recipe"):
        freeze_command(root, "sweep=q", sweeps=tmp_path)
    StatusWriter(root / plan["runs"][identities["2"]]["folder"]).write("failed", error="x")
    freeze_command(root, "sweep=q", sweeps=tmp_path)
    assert read_arms(root, "q")["plain"] == ["1", "2"]
    assert read_plan(root)["withdrawn"][0]["runs"] == identities
