"""What a plan costs, against numbers worked out by hand; what it warns of."""

from pathlib import Path
from typing import Any

import pytest

SWEEPS = Path(__file__).parents[2] / "sweeps"
pytestmark = pytest.mark.usefixtures("hydra")


def plan_command(*overrides: str) -> Any:
    from kvdistill.plan.expand import expand_command

    return expand_command([["stage=plan", *overrides]], SWEEPS)


def estimate(plan: Any) -> Any:
    from kvdistill.config.schema import read_group

    return read_group("estimate", plan.config["estimate"])


def lines(*overrides: str) -> list[str]:
    from kvdistill.estimate.plan_cost import group_by_recipe
    from kvdistill.estimate.warnings import list_warnings

    plan = plan_command(*overrides)
    return list(list_warnings(plan, group_by_recipe(plan, estimate(plan)), estimate(plan)))


def estimate_cost(*overrides: str) -> Any:
    from kvdistill.estimate import run_cost

    plan = plan_command("references=false", *overrides)
    (run,) = plan.runs.values()
    return run_cost.estimate_run(run.config, run.steps, estimate(plan))


def test_a_billion_tokens_of_the_study_cost_six_operations_a_weight_and_more() -> None:
    cost = estimate_cost("scale=paper", "arm=single_teacher")
    weights = 28 * (2 * 1536 * (1536 + 256) + 3 * 1536 * 8960) + 1536 * 151936
    assert cost.tokens == 7629 * 32 * 512 * 8
    mixing = 4 * 512 * 1536 * 28  # operations a token, over 512 keys
    trained = 6 * weights + 3 * mixing
    again = 2 * (weights - 1536 * 151936) + mixing  # gradient checkpointing
    assert cost.student == cost.tokens * (trained + again)
    # The teacher's last layer stops after its attention, and there are no logits.
    attention = 2 * 3584 * (3584 + 512)
    taught = 2 * (28 * attention + 27 * 3 * 3584 * 18944) + 4 * 512 * 3584 * 28
    assert cost.teachers == cost.tokens * taught


def test_arms_of_one_axis_are_told_apart_in_a_narrow_table(tmp_path: Path) -> None:
    import io

    from rich.console import Console

    from kvdistill.cli.plan import tabulate_costs
    from kvdistill.estimate.plan_cost import group_by_recipe
    from kvdistill.plan.expand import expand_command

    (tmp_path / "short.yaml").write_text(
        "question: Q?\narms: {keep: {arm: single_teacher}}\n"
        "axes: {compression.keep: [0.25, 0.75]}\nseeds: [42]\n"
    )
    plan = expand_command([["stage=plan", "sweep=short"]], tmp_path)
    shown = io.StringIO()
    table = tabulate_costs(group_by_recipe(plan, estimate(plan)), estimate(plan))
    Console(file=shown, width=100).print(table)
    labels = "".join(line.split("│")[1].strip() for line in shown.getvalue().splitlines()
                   if line.startswith("│"))  # fmt: skip
    assert "compression.keep=0.25" in labels
    assert "compression.keep=0.75" in labels


def test_shallow_layers_read_less_of_the_teacher() -> None:
    deep = estimate_cost("scale=paper", "arm=single_teacher")
    shallow = estimate_cost("scale=paper", "arm=single_teacher", "layers=shallow")
    assert shallow.student == deep.student
    assert 0.35 < shallow.teachers / deep.teachers < 0.45


def test_hours_are_operations_over_rate() -> None:
    from kvdistill.estimate.run_cost import Cost

    stated = estimate(plan_command())
    gpu = stated.gpus["a100-80gb"]
    cost = Cost(student=312 * 10**12 * 3600, evaluation=312 * 10**12 * 3600)
    assert cost.hours(gpu, stated) == pytest.approx(2 / stated.utilisation)
    # Writing takes the bytes over the bandwidth, or the launches where those take longer.
    written = Cost(decoded_bytes=2039 * 10**9 * 3600, launch_s=1.0)
    assert written.hours(gpu, stated) == pytest.approx(1.0)
    launched = Cost(decoded_bytes=1, launch_s=7200.0)
    assert launched.evaluation_hours(gpu, stated) == pytest.approx(2.0)


def test_a_store_holds_both_kinds_of_every_layer_read() -> None:
    from kvdistill.estimate.run_cost import estimate_store_bytes

    (run,) = plan_command("references=false", "scale=paper", "arm=single_teacher").runs.values()
    tokens = 15_000 * 2 * 512  # rows, both styles, full length
    (teacher,) = run.config["teachers"].values()
    assert estimate_store_bytes(run.config, teacher) == 2 * tokens // 2 * 28 * 512 * 2


@pytest.mark.integration
def test_a_store_is_filled_once_for_all_runs_that_read_it() -> None:
    from kvdistill.estimate.plan_cost import artifact_cost, group_by_recipe, list_stores

    online, read = (
        plan_command("scale=paper", "arm=single_teacher", "references=false", f"source={source}")
        for source in ("online", "store")
    )
    assert len(list_stores(read)) == 1
    assert not list_stores(online)
    (live,), (cheap,) = (group_by_recipe(plan, estimate(plan)) for plan in (online, read))
    assert cheap.run_cost.teachers == 0
    assert cheap.run_cost.student == live.run_cost.student
    steps_read = live.run_cost.tokens / (30_000 * 512)
    assert artifact_cost(read).teachers * steps_read == pytest.approx(live.run_cost.teachers)
    many = plan_command("scale=paper", "sweep=treatments", "references=false", "source=store")
    assert len(list_stores(many)) == 2


def test_stores_that_do_not_fit_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.estimate import run_cost

    assert not any("do not fit" in line for line in lines("source=store"))
    monkeypatch.setattr(run_cost, "read_free_bytes", lambda _: 1)
    assert any("of KV stores do not fit into the" in line for line in lines("source=store"))


def test_the_nano_students_half_is_counted() -> None:
    from kvdistill.estimate.run_cost import count_epochs
    from kvdistill.plan.matching.count_texts import count_texts

    (run,) = plan_command("references=false").runs.values()
    assert count_texts(run.config) == round(7 * 800 * 0.35) * 2
    assert count_epochs(run.config, 300) == pytest.approx(300 * 64 / 3920)


@pytest.mark.parametrize(
    ("hours", "at_once", "wall"),
    [([3.0, 2.0, 2.0], 2, 4), ([5.0], 3, 5), ([1.0, 1.0], 1, 2), ([], 2, 0)],
)
def test_jobs_fill_the_slots_longest_first(hours: list[float], at_once: int, wall: float) -> None:
    from kvdistill.estimate.run_cost import estimate_wall_hours

    assert estimate_wall_hours(hours, at_once) == wall


def test_what_could_be_found_shrinks_with_seeds_and_items() -> None:
    from kvdistill.stats.claims.power import minimum_detectable_effect_of_seeds

    stated = estimate(plan_command())
    noise = (stated.seed_sd, stated.disagreement)
    three, ten = (minimum_detectable_effect_of_seeds(n, *noise, [1000]) for n in (3, 10))
    assert three > ten > minimum_detectable_effect_of_seeds(10, *noise, [4000])
    assert minimum_detectable_effect_of_seeds(2, *noise, [1000]) is None


def test_what_could_be_found_is_found_eight_times_in_ten() -> None:
    """Many seeds and items: a z test of a difference, simulated."""
    import numpy as np

    from kvdistill.stats.claims.power import minimum_detectable_effect_of_seeds

    stated = estimate(plan_command())
    effect = minimum_detectable_effect_of_seeds(200, stated.seed_sd, stated.disagreement, [1000])
    assert effect is not None
    rng = np.random.default_rng(0)
    se = np.sqrt(2 * stated.seed_sd**2 / 200 + 1e4 * stated.disagreement / 1000)
    seen = rng.normal(effect, se, 100_000)
    assert (np.abs(seen) > 1.96 * se).mean() == pytest.approx(0.8, abs=0.01)


def test_a_sound_nano_study_has_no_warning() -> None:
    assert lines("sweep=baselines") == []


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["sweep=baselines", "seed=42"], "baselines: sft, single_teacher with fewer than 3 seeds"),
        (["budget.total_tokens=12000"], "2 steps are 8192 tokens, 31.7% off budget.total_tokens"),
        (["budget.total_tokens=12288000"], "training reads each of the 3920 texts 49 times"),
        (["scale=paper"], "Qwen/Qwen2.5-7B@main"),
        (
            ["scale=paper", "arm=single_teacher", "estimate.kind=a100-40gb"],
            "qwen2.5-7b needs",
        ),
    ],
)
def test_what_is_doubtful_is_said(overrides: list[str], says: str) -> None:
    assert any(says in line for line in lines(*overrides)), lines(*overrides)


def test_runs_are_counted_before_and_after_sharing() -> None:
    from kvdistill.cli.plan import count_runs

    summary = count_runs(plan_command("sweep=treatments"))
    assert summary.startswith("Questions: 1. Runs: 12. Teachers evaluated as they are: 2.")


def test_a_plan_counts_runs_and_teachers_as_they_are_apart() -> None:
    from kvdistill.cli.plan_table import tabulate_plan

    title = str(tabulate_plan(plan_command("sweep=treatments")).title)
    assert ": 12 runs and 2 teachers evaluated as is, " in title


def test_one_is_said_as_one() -> None:
    from kvdistill.cli.plan import format_hours
    from kvdistill.estimate.warnings import describe_effects

    plan = plan_command("seed=42")
    (line,) = describe_effects(plan, estimate(plan))
    assert line.startswith("Detectable with 1 seed: ")
    assert any("Add -m seed=42,43,44." in line for line in lines("seed=42"))
    shown = [format_hours(minutes / 60) for minutes in (0.2, 1, 1.2, 2)]
    assert shown == ["less than a minute", "1 minute", "1 minute", "2 minutes"]


def test_an_unknown_kind_is_refused() -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=r"estimate\.kind=tpu is no kind .* a100-80gb"):
        plan_command("estimate.kind=tpu")


def test_a_teacher_that_fits_in_parts_only_is_told_apart() -> None:
    whole = ["scale=paper", "budget.batch_size=4", "budget.grad_accum=8", "teachers=mixed_size"]
    assert not any("GiB of a rank's GPU" in line for line in lines(*whole))
    alone = [*whole, "teachers.b.placement.shard=none"]
    assert any("qwen2.5-7b, qwen2.5-32b needs" in line for line in lines(*alone))
