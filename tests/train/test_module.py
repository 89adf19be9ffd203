"""The KV gradient under everything that wraps a student: ranks, LoRA, autocast, checkpointing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.conftest import make_batch
from tests.train.forked_ranks import compute_on_two_ranks
from tests.train.test_step import measure_gradients

Make = Callable[..., Any]
# transformers renames these methods; the lowest supported version still has the old names only.
pytestmark = pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning")


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_two_processes_give_the_gradient_of_one(composed: Make, tmp_path: Path) -> None:
    import torch

    from tests.train import ranks

    config = composed(*(f"{group}={choice}" for group, choice in ranks.SETTINGS.items()))
    both = compute_on_two_ranks(
        lambda rank: ranks.compute_gradients(rank, config), tmp_path, seconds=200
    )
    module, whole = ranks.build_module(config), make_batch(lengths=ranks.LENGTHS)
    ranks.compute_loss(module, whole, ranks.count_answer_tokens(whole)).backward()
    alone = ranks.collect_gradients(module)
    for gradients_of_rank in both:
        assert gradients_of_rank.keys() == alone.keys()
        for name, gradient in alone.items():
            torch.testing.assert_close(gradients_of_rank[name], gradient, rtol=1e-4, atol=1e-5)
    for layer in range(3):
        for part in ("k", "v"):
            assert alone[f"model.layers.{layer}.self_attn.{part}_proj.weight"].abs().max() > 0


def test_the_kv_loss_reaches_the_update_of_a_lora_student(distiller: Make) -> None:
    peft = pytest.importorskip("peft")
    from kvdistill.train.module import Distiller

    plain = distiller()
    student = peft.get_peft_model(
        plain.student,
        peft.LoraConfig(r=2, target_modules=["k_proj", "v_proj"], init_lora_weights=False),
    )
    module = Distiller(student, plain.objective, plain._teachers, plain.weights).train()
    module(make_batch())[1].kv.backward()
    trained = {n: p for n, p in student.named_parameters() if p.requires_grad}
    assert all("lora" in name for name in trained)
    assert all(p.grad is not None and p.grad.any() for p in trained.values())
    assert {id(p) for p in module.list_kv_parameters()} == {id(p) for p in trained.values()}


@pytest.mark.integration
@pytest.mark.parametrize("compression", ["keep_last", "r_kv"])
def test_bf16_autocast_gives_nearly_the_same_gradient(distiller: Make, compression: str) -> None:
    import torch

    module = distiller(f"compression={compression}", "fusion=similarity")
    exact = measure_gradients(module, module(make_batch())[1].kv)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = module(make_batch())[1]
    autocast = measure_gradients(module, terms.kv)
    assert terms.kv.dtype == torch.float32
    assert autocast == pytest.approx(exact, rel=0.2)
    assert min(autocast.values()) > 0


def test_checkpointing_changes_no_gradient(distiller: Make) -> None:
    module = distiller("fusion=similarity").train()
    plain = measure_gradients(module, module(make_batch())[1].kv)
    module.enable_gradient_checkpointing()
    assert measure_gradients(module, module(make_batch())[1].kv) == pytest.approx(plain, rel=1e-5)
    assert min(plain.values()) > 0


def test_balancing_measures_through_checkpointing(distiller: Make) -> None:
    module = distiller("loss/balance=gradient_norm").train()
    factors = []
    for _ in range(2):
        ce, terms, _ = module(make_batch())
        module.objective.balance.measured.fill_(False)
        factors.append(
            float(module.objective.balance(ce, terms.kv, module.list_kv_parameters(), 0))
        )
        module.enable_gradient_checkpointing()
    assert factors[1] == pytest.approx(factors[0], rel=1e-5)


@pytest.mark.parametrize(
    ("name", "count"), [("GPT-2", 2 * 2), ("Phi-3", 2), ("DeepSeek V3", 0), ("Mamba", 0)]
)
def test_fine_tuning_alone_reads_no_keys_of_any_family(name: str, count: int) -> None:
    from dataclasses import replace

    from kvdistill.train.module import Distiller
    from kvdistill.train.objective import LossWeights
    from tests.house.families import build_config, build_model

    weights = LossWeights(ce=1.0, kv=0.0, keys=1.0, values=1.0, entropy=0.0)
    module = Distiller(build_model(build_config(name)), None, {}, weights).train()
    batch = make_batch(names=())
    ce, terms, _ = module(replace(batch, teachers={}))
    ce.backward()
    assert terms is None
    assert all(p.grad is not None for p in module.student.parameters())
    # One fused projection a layer, with its bias in GPT-2.
    assert len(module.list_kv_parameters()) == count
