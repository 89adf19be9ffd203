"""From a command to its trials: as many of each arm, none with a test row, all before any runs."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.errors import ConfigError

pytestmark = pytest.mark.usefixtures("hydra")

SWEEP = """
question: Tuned alike?
arms:
  sft: {arm: sft}
  kv: {arm: single_teacher}
  raw: {arm: raw_student}
tune:
  grid: {train.lr: [1.0e-3, 2.0e-3, 3.0e-3], loss.kv_weight: [0.3, 1.0]}
  trials: 3
  seeds: [1, 2]
seeds: [11, 12]
"""


def expand(folder: Path, text: str = SWEEP, *overrides: str) -> Any:
    from kvdistill.plan.trials.expand_trials import expand_trials

    (folder / "s.yaml").write_text(text)
    return expand_trials([["sweep=s", "stage=plan", f"root={folder}", *overrides]], folder)


def expand_runs(folder: Path, *overrides: str) -> Any:
    from kvdistill.plan.expand import expand_command

    command = ["sweep=s", f"root={folder}", "references=false", *overrides]
    return expand_command([command], folder)


def test_every_trained_arm_has_as_many_trials_with_every_tuning_seed(tmp_path: Path) -> None:
    tuning = expand(tmp_path).tunings["s"]
    assert list(tuning.arms) == ["sft", "kv"]
    for arm in tuning.arms.values():
        assert len(arm.trials) == 3
        assert [list(trial.runs) for trial in arm.trials] == [["1", "2"]] * 3
    assert len(set(tuning.name_trials())) == 12


def test_what_an_arm_cannot_vary_is_left_out_of_its_grid(tmp_path: Path) -> None:
    arms = expand(tmp_path).tunings["s"].arms
    assert [sorted(trial.settings) for trial in arms["sft"].trials] == [["train.lr"]] * 3
    assert "loss.kv_weight=0.3 contradicts arm=sft" in arms["sft"].left_out["loss.kv_weight"]
    assert arms["kv"].left_out == {}
    assert all("loss.kv_weight" in trial.settings for trial in arms["kv"].trials)


def test_a_trial_needs_and_asks_nothing_that_a_suite_has(tmp_path: Path) -> None:
    plan = expand(tmp_path)
    assert {node.kind for node in plan.artifacts.values()} == {"split", "model", "calibration"}
    for run in plan.runs.values():
        assert run.node.kind == "trial"
        assert run.node.name.startswith("trial")
        assert "tasks" not in run.node.recipe
        assert run.node.recipe["train"]["eval_tasks"] == 0
        assert "validation" not in run.node.needs


@pytest.mark.integration
def test_a_trial_asks_of_a_machine_what_a_run_asks(tmp_path: Path) -> None:
    from dataclasses import replace

    from kvdistill.cluster.slurm_arrays import name_resources
    from kvdistill.config.schema import read_group
    from kvdistill.plan.resources.task_needs import derive_task_needs
    from kvdistill.plan.world_size import world_size

    plan = expand(tmp_path, SWEEP, "budget.num_gpus=2", "budget.batch_size=16")
    trial = next(iter(plan.runs.values())).node
    estimate = read_group("estimate", plan.config["estimate"])
    assert name_resources("trial") == name_resources("run")
    assert world_size("trial", trial.recipe) == world_size("run", trial.recipe) == 2
    as_run = derive_task_needs(replace(trial, kind="run"), estimate, 2)
    assert derive_task_needs(trial, estimate, 2) == as_run


@pytest.mark.integration
def test_a_trial_is_no_run_and_knows_no_suite(tmp_path: Path) -> None:
    own = {run.identity for run in expand(tmp_path).runs.values()}
    assert own == {run.identity for run in expand(tmp_path, SWEEP, "tasks=quick").runs.values()}
    runs = expand_runs(tmp_path, "stage=plan", "sweep=null", "arm=sft", "seed=1", "train.lr=0.001")
    assert not own & set(runs.runs)


def test_a_command_without_a_tuned_sweep_has_no_trials(tmp_path: Path) -> None:
    assert expand(tmp_path, "arms: {a: {arm: sft}}") is None
    assert expand(tmp_path, SWEEP, "sweep=null") is None


@pytest.mark.integration
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "trials: 3", "trials: 4",
            "s.yaml: tune.trials=4, but the grid that sft can vary has 3 points of train.lr. Every "
            "arm gets equally many trials: lower tune.trials, add values to tune.grid.train.lr, or "
            "give the arm a grid of its own as tune.grids.sft.",
        ),
        ("train.lr: [1.0e-3,", "train.lrr: [1.0e-3,", "train.lrr can be varied in no arm"),
        ("[0.3, 1.0]", "[0.3, -1.0]", "kv refuses loss.kv_weight=-1.0: "),
        ("[0.3, 1.0]", "[1.0, 1.0]", "loss.kv_weight can be varied in no arm: "),
        ("[1.0e-3, 2.0e-3, 3", "[2.0e-3, 2.0e-3, 3", "sft trains alike with 0.002 and 0.002"),
        ("loss.kv_weight: [0.3, 1.0]", "train.logging_steps: [1, 2]", "changes nothing of what"),
        ("trials: 3", "trials: 3\n  arms: [kv]", "tune.arms leaves sft with no trial beside kv"),
    ],
)  # fmt: skip
def test_arms_that_cannot_be_tuned_alike_are_refused_by_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in SWEEP
    with pytest.raises(ConfigError) as caught:
        expand(tmp_path, SWEEP.replace(old, new))
    assert message in str(caught.value)


def test_a_grid_of_its_own_gives_an_arm_as_many_trials(tmp_path: Path) -> None:
    own = "trials: 4\n  grids: {sft: {train.lr: [1.0e-3, 2.0e-3, 3.0e-3, 4.0e-3]}}"
    arms = expand(tmp_path, SWEEP.replace("trials: 3", own)).tunings["s"].arms
    assert [len(arm.trials) for arm in arms.values()] == [4, 4]
    assert arms["sft"].left_out == {}


def test_arms_may_go_untuned_where_the_sweep_says_so(tmp_path: Path) -> None:
    text = SWEEP.replace("trials: 3", "trials: 3\n  arms: [kv]") + "differs: [tuning]\n"
    assert list(expand(tmp_path, text).tunings["s"].arms) == ["kv"]


def test_confirming_seeds_of_the_command_are_other_seeds_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tune\.seeds and the confirming seeds share 2"):
        expand(tmp_path, SWEEP, "seed=2")


@pytest.mark.integration
def test_a_matched_arm_is_tuned_at_the_steps_it_is_confirmed_with(tmp_path: Path) -> None:
    text = SWEEP.replace("  raw:", "  flops: {arm: sft, budget.match: {flops_of: kv}}\n  raw:")
    plan = expand(tmp_path, text)
    confirmed = expand_runs(tmp_path, "stage=plan").questions["s"].arms["flops"]
    steps = expand_runs(tmp_path, "stage=plan").runs[confirmed["11"]].steps
    trials = plan.tunings["s"].arms["flops"].trials
    assert {plan.runs[i].steps for trial in trials for i in trial.runs.values()} == {steps}


def freeze(folder: Path, plan: Any) -> None:
    from kvdistill.plan.freeze import freeze_plan

    freeze_plan(plan)


@pytest.mark.integration
def test_a_frozen_plan_has_trials_apart_from_runs(tmp_path: Path) -> None:
    from kvdistill.plan.study_plan import StudyPlan

    plan = expand(tmp_path)
    freeze(tmp_path, plan)
    known = StudyPlan.read(tmp_path / "runs/nano")
    assert known.runs == {}
    assert set(known.trials) == set(plan.runs)
    assert known.tunings == plan.tunings
    for entry in known.trials.values():
        assert entry.folder.startswith("runs/nano/trials/trial")
        assert (tmp_path / entry.folder / "config.yaml").is_file()


@pytest.mark.integration
def test_another_grid_in_a_study_that_has_planned_its_trials_is_refused(tmp_path: Path) -> None:
    freeze(tmp_path, expand(tmp_path))
    with pytest.raises(ConfigError, match=r"tuning of s: sft was planned with other trials: "):
        expand(tmp_path, SWEEP.replace("3.0e-3]", "4.0e-3]"))
    assert expand(tmp_path, SWEEP.replace("3.0e-3]", "4.0e-3]"), "study=other") is not None


def test_an_arm_without_a_winner_is_planned_and_never_confirmed(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SWEEP)
    assert len(expand_runs(tmp_path, "stage=plan").runs) == 5
    with pytest.raises(ConfigError, match=r"s: sft has no winner yet in study=nano\. Tune it"):
        expand_runs(tmp_path)


@pytest.mark.integration
def test_winners_are_composed_into_the_confirming_runs_as_if_the_file_said_them(
    tmp_path: Path,
) -> None:
    from dataclasses import replace

    from kvdistill.plan.study_plan import StudyPlan

    freeze(tmp_path, expand(tmp_path))
    study = tmp_path / "runs/nano"
    known = StudyPlan.read(study)
    arms = known.tunings["s"].arms
    arms |= {label: replace(arm, winner=1) for label, arm in arms.items()}
    known.write(study)
    plan = expand_runs(tmp_path)
    for label, arm in arms.items():
        assert arm.chosen is not None
        for identity in plan.questions["s"].arms[label].values():
            config = plan.runs[identity].config
            assert config["train"]["lr"] == arm.chosen["train.lr"]
        assert "train.lr" in plan.questions["s"].declared[label]
    kv = plan.runs[plan.questions["s"].arms["kv"]["11"]].config
    assert kv["loss"]["kv_weight"] == arms["kv"].trials[1].settings["loss.kv_weight"]


WITH_LOGITS = """
question: Which signal?
arms: {kv: {arm: single_teacher}, logits: {arm: logit_kd, teachers: single}}
tune:
  grid: {logits.weight: [0.3, 1.0], train.lr: [1.0e-3, 2.0e-3, 3.0e-3]}
  trials: 3
  seeds: [1]
seeds: [11]
"""


@pytest.mark.integration
def test_an_arm_without_logits_has_no_trial_with_a_weight_on_them(tmp_path: Path) -> None:
    """Such a trial would train on logits, and win as keys and values alone."""
    arms = expand(tmp_path, WITH_LOGITS).tunings["s"].arms
    assert "logits=none" in arms["kv"].left_out["logits.weight"]
    assert all("logits.weight" in trial.settings for trial in arms["logits"].trials)
