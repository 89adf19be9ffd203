"""placement.shard=auto: whole where a job fits its GPU so, else divided; frozen, in no identity."""

from pathlib import Path
from typing import Any

import pytest

SWEEPS = Path(__file__).parents[3] / "sweeps"
pytestmark = pytest.mark.usefixtures("hydra")


def make_plan(*overrides: str) -> Any:
    from kvdistill.plan.expand import expand_command

    return expand_command([["stage=plan", "scale=paper", *overrides]], SWEEPS)


def read_shards(recipe: Any) -> dict[str, str]:
    return {n["name"]: n["placement"]["shard"] for n in recipe.get("teachers", {}).values()}


def read_trained(plan: Any) -> dict[str, str]:
    (run,) = [run for run in plan.runs.values() if run.config["trained"]]
    return read_shards(run.node.recipe)


def test_what_fits_lies_whole_and_the_largest_is_divided_first() -> None:
    assert read_trained(make_plan("arm=multi_teacher")) == {
        "qwen2.5-7b": "none", "llama-3.1-8b": "none",
    }  # fmt: skip
    assert read_trained(make_plan("arm=multi_teacher", "teachers=mixed_size")) == {
        "qwen2.5-7b": "none", "qwen2.5-32b": "zero3",
    }  # fmt: skip


def test_a_smaller_card_divides_more_and_a_larger_one_less() -> None:
    small, large = (
        read_trained(make_plan("arm=multi_teacher", "teachers=mixed_size", f"estimate.kind={kind}"))
        for kind in ("a100-40gb", "h200-141gb")
    )
    assert set(small.values()) == {"zero3"}
    assert set(large.values()) == {"none"}


def test_a_placement_that_is_given_stays() -> None:
    shards = read_trained(make_plan("arm=single_teacher", "teachers.a.placement.shard=zero3"))
    assert shards == {"qwen2.5-7b": "zero3"}


def test_one_rank_and_a_store_have_nobody_to_divide_with() -> None:
    single = ("arm=multi_teacher", "teachers=mixed_size")
    assert "zero3" not in read_trained(make_plan(*single, "budget.num_gpus=1")).values()
    assert "zero3" not in read_trained(make_plan(*single, "source=store")).values()


def test_a_job_that_reads_one_teacher_decides_for_itself() -> None:
    plan = make_plan("arm=multi_teacher", "teachers=four")
    calibrations = [node for node in plan.artifacts.values() if node.kind == "calibration"]
    shards = {
        name: shard for node in calibrations for name, shard in read_shards(node.recipe).items()
    }
    assert shards["qwen2.5-7b"] == "none"
    assert shards["llama-3.1-70b"] == "zero3"
    references = {r.config["student"]["name"]: r.config["student"] for r in plan.runs.values()}
    assert references["qwen2.5-7b"]["placement"]["shard"] == "none"
    assert references["llama-3.1-70b"]["placement"]["shard"] == "zero3"


def test_where_a_model_lies_is_in_no_name() -> None:
    names = [
        (sorted(plan.artifacts), sorted(run.node.name for run in plan.runs.values()))
        for kind in ("a100-40gb", "h200-141gb")
        for plan in [make_plan("arm=multi_teacher", "teachers=three", f"estimate.kind={kind}")]
    ]
    assert names[0] == names[1]


@pytest.mark.integration
def test_no_recipe_of_any_job_is_left_undecided() -> None:
    plan = make_plan("sweep=ablation_teacher_count")
    nodes = [*plan.artifacts.values(), *(run.node for run in plan.runs.values())]
    assert "'shard': 'auto'" not in repr([node.recipe for node in nodes])


def test_a_plan_says_how_each_teacher_lies() -> None:
    from kvdistill.plan.resources.placement import describe_placements

    plan = make_plan("arm=multi_teacher", "teachers=mixed_size")
    (line,) = describe_placements([r.config for r in plan.runs.values() if r.config["trained"]])
    assert line.startswith("placement: qwen2.5-7b whole, qwen2.5-32b zero3 (")


def test_a_model_is_not_loaded_before_its_place_is_decided() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError
    from kvdistill.models import load

    node = compose(["arm=single_teacher", "teachers.a.placement.shard=auto"])["teachers"]["a"]
    with pytest.raises(ConfigError, match=r"shard=auto is decided when a run is planned"):
        load.check_decided(node, "teachers.a")


def test_a_calibration_needs_room_for_its_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.plan.resources import placement

    plan = make_plan("arm=single_teacher")
    (config,) = [run.config for run in plan.runs.values() if run.config["trained"]]
    teacher = placement.place_model(config["teachers"]["a"], "auto")

    def find_shard(gib: float) -> str:
        decided = placement.decide_reading_placement(config, teacher, int(gib * 2**30))
        return str(decided["placement"]["shard"])

    with monkeypatch.context() as patch:
        patch.setattr(placement, "count_moment_bytes", lambda *_: 0)
        least = next(gib for gib in range(1, 200) if find_shard(gib) == "none")
    # 28 layers of keys and of values, three sets of 1,024 x 1,024 + 1,024 x 256 + 256 x 256 sums.
    assert find_shard(least) == "zero3"
    assert find_shard(least + 2.5) == "none"
