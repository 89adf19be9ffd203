from pathlib import Path

import pytest

SWEEPS = Path(__file__).parents[2] / "sweeps"
pytestmark = pytest.mark.usefixtures("hydra")


def expand_jobs(*jobs: list[str]):
    from kvdistill.plan.expand import expand_command

    return expand_command(jobs, SWEEPS)


def test_one_command_is_one_run_and_its_teachers_as_references() -> None:
    plan = expand_jobs([])
    assert plan.questions["runs"].arms == {"multi_teacher": {"42": next(iter(plan.runs))}}
    assert len(plan.references) == 2
    assert len(plan.runs) == 3


def test_a_multirun_is_labelled_by_what_varies() -> None:
    jobs = [[f"fusion={f}", f"seed={s}"] for f in ("fixed", "learnable") for s in (1, 2)]
    plan = expand_jobs(*jobs)
    assert list(plan.questions) == ["fusion"]
    assert list(plan.questions["fusion"].arms) == ["fusion=fixed", "fusion=learnable"]
    assert list(plan.questions["fusion"].arms["fusion=fixed"]) == ["1", "2"]


def test_arms_share_the_split_and_the_teachers() -> None:
    plan = expand_jobs(["fusion=fixed"], ["fusion=learnable"], ["projection=linear"])
    kinds = [node.kind for node in plan.artifacts.values()]
    assert kinds.count("split") == 1
    assert kinds.count("model") == 3
    assert kinds.count("calibration") == 2


def test_a_sweep_shares_runs_with_the_command_line() -> None:
    swept = expand_jobs(["sweep=baselines"])
    alone = expand_jobs(["arm=single_teacher", "seed=43"])
    assert set(alone.runs) <= set(swept.runs)


def test_the_raw_student_is_one_run_for_three_seeds() -> None:
    seeds = expand_jobs(["sweep=baselines"]).questions["baselines"].arms["raw_student"]
    assert list(seeds) == ["42", "43", "44"]
    assert len(set(seeds.values())) == 1


def test_the_command_line_wins_over_the_sweep() -> None:
    plan = expand_jobs(["sweep=baselines", "seed=7", "budget.total_tokens=8192"])
    assert list(plan.questions["baselines"].arms["sft"]) == ["7"]
    assert {run.steps for run in plan.runs.values() if run.config["trained"]} == {2}


def test_steps_of_all_trained_arms_are_equal() -> None:
    plan = expand_jobs(["sweep=baselines"], ["fusion=learnable"])
    assert len({run.steps for run in plan.runs.values() if run.config["trained"]}) == 1


def test_arms_are_composed_once_and_seeds_bound_after(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.plan.requests import composer as module

    calls = []
    real = module.compose
    monkeypatch.setattr(module, "compose", lambda o: calls.append(o) or real(o))
    expand_jobs(*[[f"seed={seed}"] for seed in range(50)])
    assert len(calls) == 1


def test_an_unknown_sweep_lists_the_known() -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=r"sweep=nosuch is no file of .*baselines"):
        expand_jobs(["sweep=nosuch"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (3, "3"),
        ("fixed", "fixed"),
        ("0/28-12/28", "'0/28-12/28'"),
        ("it's", r"'it\'s'"),
        ([0.5, 0.5], "[0.5,0.5]"),
        ({0: 1}, "{0:1}"),
    ],
)
def test_sweep_values_are_written_in_hydras_grammar(value: object, text: str) -> None:
    from kvdistill.plan.sweep import format_literal

    assert format_literal(value) == text


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["layers.range=0-9"], r"layers\.range=0-9 must be .* student's \d+ layers"),
        (["arm=sft", "layers.range=0-9"], r"layers\.range=0-9 must be"),
        (["layers/map=anchors", "layers.map.anchors={0:0,1:9}"], "sends student layer 1 to"),
    ],
)
def test_layers_that_no_model_has_are_refused_before_there_is_a_plan(
    overrides: list[str], says: str
) -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=says):
        expand_jobs(overrides)
