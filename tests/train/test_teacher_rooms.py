"""Each teacher is compared by its own projection and layer map, beside those of the run."""

from collections.abc import Callable
from typing import Any

import pytest

from kvdistill.errors import ConfigError
from tests.train.conftest import TEACHERS, make_calibration

Make = Callable[..., Any]

LOW_RANK = {"_target_": "kvdistill.projection.low_rank.LowRank", "_partial_": True, "rank": 3}
IDENTITY = {"_target_": "kvdistill.projection.identity.Identity", "_partial_": True}
STUDENT_SIDE = {
    "_target_": "kvdistill.projection.student_side.StudentSide", "_partial_": True,
    "penalty": 0.001, "lr_scale": 0.1,
}  # fmt: skip
NEAREST = {"map": {"_target_": "kvdistill.layers.nearest.Nearest"}}


def build_objective(config: dict[str, Any]) -> Any:
    from kvdistill.train.objective import KVObjective

    objective = KVObjective(config)
    for name, branch in objective.get_branches().items():
        branch.calibrate(make_calibration(branch.pipeline.layer_pairs, TEACHERS[name]))
    return objective


def read_maps(objective: Any, name: str) -> Any:
    import torch

    branch = objective.get_branches()[name]
    return torch.stack([branch.read_linear_map(p, "keys") for p in branch.pipeline.layer_pairs])


@pytest.mark.integration
def test_a_teacher_has_its_own_projection_and_the_others_the_runs(composed: Make) -> None:
    import torch

    mixed = composed("projection=ridge", "layers/map=nearest")
    mixed["teachers"]["b"] = {**mixed["teachers"]["b"], "projection": LOW_RANK}
    mixed, ridge, low_rank = (
        build_objective(each)
        for each in (
            mixed,
            composed("projection=ridge", "layers/map=nearest"),
            composed("projection=low_rank", "projection.rank=3", "layers/map=nearest"),
        )
    )
    assert torch.equal(read_maps(mixed, "a"), read_maps(ridge, "a"))
    assert torch.equal(read_maps(mixed, "b"), read_maps(low_rank, "b"))
    assert not torch.equal(read_maps(mixed, "b"), read_maps(ridge, "b"))


@pytest.mark.integration
def test_a_teacher_has_its_own_layers_and_the_others_the_runs(composed: Make) -> None:
    config = composed("layers/map=proportional")
    config["teachers"]["b"] = {**config["teachers"]["b"], "layers": NEAREST}
    pairs = {k: v.pipeline.layer_pairs for k, v in build_objective(config).get_branches().items()}
    nearest, proportional = (
        build_objective(composed(f"layers/map={name}")).get_branches()
        for name in ("nearest", "proportional")
    )
    assert pairs["a"] == proportional["a"].pipeline.layer_pairs
    assert pairs["b"] == nearest["b"].pipeline.layer_pairs != proportional["b"].pipeline.layer_pairs


@pytest.mark.parametrize(
    ("room", "message"),
    [
        ({"projection": IDENTITY}, r"teachers\.b, with a projection .* needs equal KV shapes"),
        ({"projection": STUDENT_SIDE}, r"teachers\.b\.projection=student_side compares in its"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_teachers_name(
    composed: Make, room: dict[str, Any], message: str
) -> None:
    from kvdistill.train.objective import KVObjective

    config = composed()
    config["teachers"]["b"] = {**config["teachers"]["b"], **room}
    with pytest.raises(ConfigError, match=message):
        KVObjective(config)


def test_a_student_side_for_all_is_refused_as_before(composed: Make) -> None:
    from kvdistill.train.objective import KVObjective

    with pytest.raises(ConfigError, match=r"^projection=student_side compares .* got a, b"):
        KVObjective(composed("projection=student_side"))


def test_the_plan_counts_a_projection_that_one_teacher_trains(composed: Make) -> None:
    from kvdistill.plan.resources.rooms_memory import count_map_bytes
    from kvdistill.plan.resources.run_memory import RankBatch, measure_teachers

    config = composed()
    loads = [measure_teachers(config, RankBatch(2, 8), 4)[1]]
    linear = {"_target_": "kvdistill.projection.linear.Linear", "_partial_": True, "lr_scale": 0.1}
    config["teachers"]["b"] = {**config["teachers"]["b"], "projection": linear}
    loads.append(measure_teachers(config, RankBatch(2, 8), 4)[1])
    assert [each.trained_projection for each in loads] == [False, True]
    assert count_map_bytes(loads[1]) >= count_map_bytes(loads[0])
