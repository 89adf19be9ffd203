"""Counted FLOPs against what torch's own counter sees in real models."""

from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from tests.train.conftest import STUDENT, TEACHERS, make_model

BATCH, SEQ = 3, 11


def load() -> Any:
    from kvdistill.plan.flops import TokenLoad

    return TokenLoad.nominal(BATCH * SEQ, SEQ)


def geometry(node: dict[str, Any]) -> Any:
    from kvdistill.geometry import Geometry

    return Geometry(**node)


def count_torch_flops(
    node: dict[str, Any], *, backward: bool = False, checkpoint: bool = False
) -> int:
    """What torch counts in a forward (and backward) of a real model, attention unfused."""
    import torch

    net = make_model(node, "llama").train()
    net.set_attn_implementation("eager")
    if checkpoint:
        net.gradient_checkpointing_enable({"use_reentrant": False})
    ids = torch.zeros(BATCH, SEQ, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        loss = net(input_ids=ids, use_cache=False).logits.sum()
        if backward:
            loss.backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("node", [STUDENT, *TEACHERS.values()])
def test_a_forward_costs_what_torch_counts(node: dict[str, Any]) -> None:
    from kvdistill.plan.flops import forward_flops

    assert forward_flops(geometry(node), load()) == count_torch_flops(node)


def test_a_training_step_costs_what_torch_counts() -> None:
    from kvdistill.plan.flops import training_flops

    assert training_flops(geometry(STUDENT), load()) == count_torch_flops(STUDENT, backward=True)


# The name that every transformers 5 has.
@pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning")
def test_checkpointing_costs_one_forward_more_less_the_head() -> None:
    from kvdistill.plan.flops import forward_flops, recomputation_flops, training_flops

    shape = geometry(STUDENT)
    head = 2 * BATCH * SEQ * shape.hidden_size * shape.vocab_size
    assert recomputation_flops(shape, load()) == forward_flops(shape, load()) - head
    # torch stops a recomputed block early, before the last product of its MLP.
    least = training_flops(shape, load()) + recomputation_flops(shape, load()) // 2
    flops = count_torch_flops(STUDENT, backward=True, checkpoint=True)
    assert least < flops <= training_flops(shape, load()) + recomputation_flops(shape, load())


@pytest.mark.parametrize("deepest", [0, 2, 5])
def test_a_cut_teacher_costs_what_torch_counts(deepest: int) -> None:
    import torch

    from kvdistill.models.decoder import truncate_decoder
    from kvdistill.plan.flops import capture_flops

    net = make_model(TEACHERS["a"], "llama").eval()
    net.set_attn_implementation("eager")
    body = truncate_decoder(net, deepest)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        body(input_ids=torch.zeros(BATCH, SEQ, dtype=torch.long), use_cache=False)
    assert capture_flops(geometry(TEACHERS["a"]), load(), deepest) == counter.get_total_flops()


def test_weights_without_gradient_cost_a_third_less() -> None:
    from kvdistill.plan.flops import attention_flops, product_flops, training_flops

    shape = geometry(STUDENT)
    saved = training_flops(shape, load()) - training_flops(shape, load(), frozen=True)
    assert saved == product_flops(shape, load())
    assert attention_flops(shape, load(), 2) == 4 * BATCH * SEQ * SEQ * 16 * 2
