"""Texts that share rows give what they give in a row each: losses, statistics, gradients."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.train.conftest import make_batch

Make = Callable[..., Any]
LENGTHS = (9, 5, 7, 4, 6, 3)
# transformers renames these methods; the lowest supported version still has the old names only.
pytestmark = pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning")


def pack(batch: Any, *, one_row: bool = False) -> Any:
    from kvdistill.data.collate import Collator
    from kvdistill.data.packing import Packing

    collator = Collator(0, dict.fromkeys(batch.teachers, 0))
    return collator.pack_batch(batch, Packing(one_row))


def measure_step(module: Any, batch: Any) -> dict[str, Any]:
    """Everything that a step makes of a batch, each text's own numbers too, and all gradients."""
    from kvdistill.train.step import compute_exact_match, sum_cross_entropy_by_text

    logits, terms = module.compute_logits(batch)
    by_text = sum_cross_entropy_by_text(logits, batch.student)
    loss = by_text.sum() / 10
    measured = {"ce": by_text, "exact": compute_exact_match(logits, batch.student).float()}
    if terms is not None:
        loss = loss + terms.kv + terms.penalty - 0.1 * terms.entropy
        measured |= {f"terms.{name}": value for name, value in vars(terms).items()}
    module.zero_grad()
    loss.backward()
    gradients = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    return measured | {f"gradient {name}": value.clone() for name, value in gradients.items()}


def assert_equal_steps(module: Any, batch: Any, packed: Any) -> None:
    import torch

    apart, together = measure_step(module, batch), measure_step(module, packed)
    assert apart.keys() == together.keys()
    for name, value in apart.items():
        torch.testing.assert_close(
            together[name], value, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.integration
@pytest.mark.parametrize(
    ("teachers", "overrides"),
    [
        ((), ()),
        (("a",), ()),
        (("a",), ("compression=keep_last", "position=rephase")),
        (("a", "b"), ("compression=r_kv", "fusion=learnable")),
        (("a", "b"), ("compression=snap_kv", "compression.heads=own", "fusion=similarity")),
        (("a", "b"), ("source=shuffled", "compression=knorm")),
        (("a", "b"), ("source=random", "loss=gram")),
    ],
)
def test_a_step_is_the_same_whether_texts_share_rows_or_not(
    distiller: Make, teachers: tuple[str, ...], overrides: tuple[str, ...]
) -> None:
    module = distiller(*overrides, teachers=teachers).train()
    batch = make_batch(teachers, lengths=LENGTHS, more=2)
    packed = pack(batch)
    assert packed.student.computed_ids.shape[0] < len(LENGTHS)
    # Each model's own tokens: teachers read fewer of a text than the student.
    for reading in packed.teachers.values():
        assert reading.tokens.packed.ids.shape != packed.student.packed.ids.shape
    assert_equal_steps(module, batch, packed)
    assert_equal_steps(module, batch, pack(batch, one_row=True))


@pytest.mark.parametrize("name", ["Sync", "Soft", "Truncate"])
def test_links_of_every_alignment_follow_the_texts(distiller: Make, name: str) -> None:
    from importlib import import_module

    align = getattr(import_module(f"kvdistill.alignment.{name.lower()}"), name)()
    module = distiller("compression=full", "fusion=fixed").train()
    batch = make_batch(lengths=LENGTHS, alignment=align)
    assert_equal_steps(module, batch, pack(batch))


@pytest.mark.integration
def test_checkpointed_blocks_keep_texts_apart_in_the_backward_pass(distiller: Make) -> None:
    module = distiller("fusion=learnable").train()
    batch = make_batch(lengths=LENGTHS)
    apart = measure_step(module, batch)
    module.enable_gradient_checkpointing()
    import torch

    for name, value in measure_step(module, pack(batch)).items():
        torch.testing.assert_close(value, apart[name], rtol=1e-4, atol=1e-5)


@pytest.mark.integration
def test_a_lora_student_is_the_same_in_shared_rows(distiller: Make) -> None:
    pytest.importorskip("peft")
    module = distiller("adapter=lora", "adapter.rank=2", "adapter.dropout=0.0").train()
    batch = make_batch(lengths=LENGTHS)
    assert_equal_steps(module, batch, pack(batch))


def test_targets_of_other_texts_stay_those_of_other_texts(distiller: Make) -> None:
    from kvdistill.train.target_r2 import compute_target_r2

    module, batch = distiller(), make_batch(lengths=LENGTHS)
    apart, together = (compute_target_r2(module, [each]) for each in (batch, pack(batch)))
    for key in ("held_out_r2", "shuffled_r2"):
        assert together[key] == pytest.approx(apart[key], rel=1e-4)


def test_a_text_in_a_row_has_no_influence_on_the_others(distiller: Make) -> None:
    import torch

    module = distiller().eval()
    batch = pack(make_batch(lengths=LENGTHS))
    ids = batch.student.packed.ids.clone()
    first = batch.student.packed.places[0, : LENGTHS[0]]
    ids.view(-1)[first] = (ids.view(-1)[first] + 1) % 50
    changed = replace(batch.student, packed=replace(batch.student.packed, ids=ids))
    with torch.no_grad():
        before, _ = module.compute_logits(batch)
        after, _ = module.compute_logits(replace(batch, student=changed))
    own = int(batch.student.label_mask[0].sum())
    assert not torch.equal(before[:own], after[:own])
    assert torch.equal(before[own:], after[own:])


@pytest.mark.integration
def test_training_in_shared_rows_ends_at_the_same_weights(trained: Make) -> None:
    from kvdistill.data.packing import Packing
    from tests.train.runs import assert_same_weights

    apart = trained("fusion=learnable")
    together = trained("fusion=learnable", packing=Packing())
    assert_same_weights(together, apart, rtol=1e-4, atol=1e-5)
    assert together.curves.loads == apart.curves.loads
