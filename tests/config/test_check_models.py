"""Where a model goes: refused by name before anything is computed, never part of identity."""

import pytest

pytestmark = pytest.mark.usefixtures("hydra")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("teachers.a.placement.shard=zero2", "teachers.a.placement.shard=zero2 is none of auto,"),
        ("teachers.a.placement.device=tpu", "teachers.a.placement.device=tpu is none of auto,"),
        ("teachers.b.placement={device: cpu, shard: zero3}", "teachers.b.placement.device=cpu"),
        ("+teachers.a.placement.ofload=true", "teachers.a.placement.ofload"),
        ("student.placement.shard=zero3", "student.placement.shard=zero3, but only"),
    ],
)
def test_a_placement_that_cannot_be_is_refused(override: str, says: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=f"^{says}"):
        compose([override])


def test_placement_and_division_are_no_part_of_identity() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.identity import run_identity

    base = run_identity(compose([]))
    assert run_identity(compose(["teachers.a.placement.shard=zero3_offload"])) == base
    assert (
        run_identity(compose(["budget.batch_size=8", "budget.num_gpus=4", "budget.grad_accum=2"]))
        == base
    )
    assert run_identity(compose(["budget.batch_size=8", "budget.num_gpus=4"])) != base


def test_what_reads_a_sharded_teacher_takes_all_ranks() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.graph import list_artifacts
    from kvdistill.plan.world_size import world_size

    config = compose(["source=store", "teachers.a.placement.shard=zero3", "budget.num_gpus=2"])
    sizes = {role: world_size(node.kind, node.recipe) for role, node in list_artifacts(config)}
    several = {role for role, size in sizes.items() if size == 2}
    # A store is filled by all ranks, whether its teacher is in parts or not.
    assert several == {"calibration.a", "kv.a", "kv.b"}
    assert {"calibration.b", "split", "teacher.a"} <= sizes.keys()


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from kvdistill.errors import ConfigError
    from kvdistill.models.load import choose_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    node = {"placement": {"device": "cuda", "shard": "none"}}
    with pytest.raises(ConfigError, match=r"^teacher.a.placement.device=cuda, but this machine"):
        choose_device(node, "teacher.a")
    assert choose_device({}, "student").type == "cpu"
