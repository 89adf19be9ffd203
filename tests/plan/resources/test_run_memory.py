"""The memory of a step, against the bytes that a real step holds, and its parts."""

from pathlib import Path
from typing import Any

import pytest

SWEEPS = Path(__file__).parents[3] / "sweeps"
pytestmark = [
    pytest.mark.usefixtures("hydra"),
    pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning"),
]


def plan_memory(*overrides: str) -> Any:
    """The memory of the command's one trained run at paper scale."""
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.resources.run_memory import estimate_run_memory

    command = ["stage=plan", "scale=paper", "references=false", *overrides]
    plan = expand_command([command], SWEEPS)
    (run,) = plan.runs.values()
    return estimate_run_memory(run.config)


@pytest.mark.integration
@pytest.mark.parametrize(
    "overrides",
    [
        ("arm=single_teacher",),
        ("arm=single_teacher", "compression=full"),
        ("arm=single_teacher", "compression=r_kv"),
        ("arm=multi_teacher", "fusion=learnable", "compression=full"),
        ("arm=multi_teacher", "teachers=three"),
        ("arm=multi_teacher", "teachers=four", "fusion=learnable"),
    ],
    ids=" ".join,
)
def test_a_step_holds_what_the_plan_says_within_a_tenth(
    overrides: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.bench.gpu_ready import live_bytes

    monkeypatch.setattr(live_bytes, "LENGTH", 96)
    measured = live_bytes.measure_step(overrides, divisor=7)
    assert 0.9 < measured.ratio < 1.1
    assert 0.9 < measured.step_ratio < 1.1


@pytest.mark.integration
@pytest.mark.parametrize("case", ["logits_alone", "logits_of_two"])
def test_comparing_distributions_holds_what_the_plan_says_within_a_tenth(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.bench.gpu_ready import live_bytes

    monkeypatch.setattr(live_bytes, "LENGTH", 96)
    measured = live_bytes.measure_step(live_bytes.LOGIT_CASES[case], **live_bytes.TALL)
    assert measured.plan.phase == "distributions"
    assert 0.9 < measured.ratio < 1.1
    assert 0.9 < measured.step_ratio < 1.1


@pytest.mark.integration
def test_logits_are_those_of_answers_and_their_loss_is_counted() -> None:
    from tests.bench.gpu_ready import live_bytes

    measured = live_bytes.measure_step(("arm=sft",), divisor=14, vocabulary=20_000)
    assert measured.plan.phase == "cross-entropy"
    assert 0.9 < measured.step_ratio < 1.1


@pytest.mark.integration
def test_rooms_grow_with_every_teacher_and_what_is_kept_of_it() -> None:
    one, two = (plan_memory(f"arm={arm}").rooms for arm in ("single_teacher", "multi_teacher"))
    half, all_tokens = (
        plan_memory("arm=multi_teacher", "fusion=learnable", "teachers=three", *given).rooms
        for given in ((), ("compression=full",))
    )
    assert one <= two <= half < all_tokens


def test_a_store_leaves_no_teacher_on_the_gpu() -> None:
    online, stored = (
        plan_memory("arm=single_teacher", f"source={source}") for source in ("online", "store")
    )
    assert set(online.teachers) == {"qwen2.5-7b"}
    assert not stored.teachers
    assert stored.total < online.total


def test_smaller_micro_batches_take_less_and_the_same_states() -> None:
    whole, halved = (
        plan_memory("arm=multi_teacher", *given)
        for given in ((), ("budget.batch_size=16", "budget.grad_accum=2"))
    )
    assert whole.student == halved.student
    assert halved.logits * 2 == whole.logits


def test_over_nodes_a_divided_teacher_is_held_once_a_node() -> None:
    divided = ("arm=single_teacher", "teachers.a.placement.shard=zero3", "budget.num_gpus=16",
               "budget.batch_size=16", "cluster=slurm")  # fmt: skip
    one, two = (
        plan_memory(*divided, f"cluster.nodes={nodes}").teachers["qwen2.5-7b"] for nodes in (1, 2)
    )
    assert two == pytest.approx(one + 2 * one)
