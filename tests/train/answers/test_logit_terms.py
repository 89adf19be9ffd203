"""Distances of next-token distributions as a term of the loss, on tiny models of one vocabulary."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.train import conftest, runs
from tests.train.conftest import make_batch, make_teacher

Make = Callable[..., Any]
KL = ("logits=forward_kl",)
ALONE = (*KL, "kv=none", "loss.kv_weight=0.0")


def read_alike(names: tuple[str, ...] = ("a", "b"), **changes: Any) -> Any:
    """A batch that every teacher reads as the student does, token by token."""
    import numpy as np

    from kvdistill.alignment.base import Spans
    from kvdistill.alignment.truncate import Truncate
    from kvdistill.data.collate import flatten_links
    from kvdistill.types import TeacherInputs

    batch = make_batch(names, **changes)
    lengths = batch.student.mask.sum(dim=1).tolist()
    spans = [Spans(np.arange(n), np.arange(n) + 1) for n in lengths]
    seq = batch.student.ids.shape[1]
    links = flatten_links([Truncate()(each, each) for each in spans], seq, seq)
    return replace(batch, teachers={n: TeacherInputs(batch.student, links) for n in names})


@pytest.fixture
def alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training reads such batches."""
    monkeypatch.setattr(runs, "make_batch", read_alike)


def compute_divergence(module: Any, batch: Any, name: str) -> Any:
    """KL(teacher || student) of each predicted token, in a loop over whole models' logits."""
    import torch

    tokens = batch.student
    inputs = {"input_ids": tokens.ids, "attention_mask": tokens.mask.long()}
    own = module.student(**inputs).logits
    taught = make_teacher(name).eval()(**inputs).logits
    divergences = []
    for text, place in tokens.logit_mask.nonzero().tolist():
        p, q = (torch.log_softmax(x[text, place].float(), dim=0) for x in (taught, own))
        divergences.append((p.exp() * (p - q)).sum())
    return torch.stack(divergences)


@pytest.mark.parametrize("choice", [ALONE, KL])
def test_the_term_is_the_literal_loop(distiller: Make, choice: tuple[str, ...]) -> None:
    import torch

    module = distiller(*choice, teachers=("a",)).eval()
    batch = read_alike(("a",))
    terms = module(batch).logits
    expected = compute_divergence(module, batch, "a")
    torch.testing.assert_close(terms.tokens, expected.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(terms.total, expected.sum(), rtol=1e-4, atol=1e-6)
    assert (module.objective is None) == (choice is ALONE)


def test_a_teacher_is_read_once_for_both(distiller: Make) -> None:
    module = distiller(*KL)
    calls: list[str] = []
    for name, teacher in module._teachers.items():
        teacher.body.register_forward_hook(lambda *_, name=name: calls.append(name))
    terms = module(read_alike())
    assert calls == ["a", "b"]
    assert terms.kv is not None
    assert terms.logits is not None


@pytest.mark.integration
def test_where_distributions_are_not_compared_k_and_v_are_the_same_to_the_bit(
    distiller: Make,
) -> None:
    import torch

    batch = read_alike()
    with_logits, without = distiller(*KL)(batch), distiller()(batch)
    assert without.logits is None
    assert torch.equal(with_logits.kv.kv, without.kv.kv)
    assert torch.equal(with_logits.ce, without.ce)


def test_packed_rows_and_a_fused_output_layer_change_nothing(distiller: Make) -> None:
    import torch

    from kvdistill.data.collate import Collator
    from kvdistill.data.packing import Packing
    from tests.train.test_step import measure_gradients

    batch = read_alike(("a",), more=3)
    packed = Collator(0, {"a": 0}).pack_batch(batch, Packing())
    plain = distiller(*ALONE, teachers=("a",))
    fused = distiller(*ALONE, "train.linear_ce=chunked", teachers=("a",))
    expected = plain(batch).logits
    gradients = measure_gradients(plain, expected.total)
    for module, each in ((plain, packed), (fused, batch)):
        terms = module(each).logits
        torch.testing.assert_close(terms.tokens, expected.tokens, rtol=1e-4, atol=1e-5)
        assert measure_gradients(module, terms.total) == pytest.approx(gradients, rel=1e-3)


@pytest.mark.integration
@pytest.mark.usefixtures("alike")
def test_the_step_is_a_mean_over_answer_tokens_however_it_is_divided(trained: Make) -> None:
    whole = trained(*ALONE, teachers=("a",))
    divided = trained(*ALONE, teachers=("a",), size=2, accumulate=2)
    runs.assert_same_weights(whole, divided, rtol=1e-4, atol=1e-5)
    for one, other in zip(runs.read_lines(whole), runs.read_lines(divided), strict=True):
        for column in ("loss", "ce", "logits", "logits_covered", "logits_a"):
            assert other[column] == pytest.approx(one[column], rel=1e-4)
    line = runs.read_lines(whole)[-1]
    assert line["logits_covered"] == pytest.approx(1.0)


@pytest.mark.integration
@pytest.mark.usefixtures("alike")
def test_the_loss_is_the_weighted_sum_in_training_and_validation(trained: Make) -> None:
    trainer = trained(*ALONE, "logits.weight=3.0", "loss.ce_weight=0.5", teachers=("a",), norms=1)
    lines = runs.read_lines(trainer)
    assert {line["split"] for line in lines} == {"train", "val"}
    for line in lines:
        total = 0.5 * line["ce"] + 3.0 * line["logits"]
        assert line["loss"] == pytest.approx(total, rel=1e-5)
        assert "kv" not in line
    norms = [line for line in lines if "grad_norm_logits" in line]
    assert norms
    assert all(line["grad_norm_logits"] > 0 for line in norms)
    losses = trainer.text_losses
    assert sum(losses.logits) / sum(losses.tokens) == pytest.approx(lines[-1]["logits"], rel=1e-5)
    assert losses.to_json().keys() == {"ids", "ce", "tokens", "logits"}


@pytest.mark.integration
@pytest.mark.usefixtures("alike")
def test_a_weight_of_nothing_trains_as_fine_tuning_does(trained: Make) -> None:
    """A distance to oneself pulls nowhere: the teacher is the student, and stays behind."""
    tiny = conftest.STUDENT
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(conftest.TEACHERS, "a", tiny)
        patch.setattr(
            conftest, "make_teacher", lambda _: conftest.make_model(tiny, "qwen2", seed=9)
        )
        taught = trained(*ALONE, teachers=("a",))
    # Before the first step both models are one.
    first = next(line for line in runs.read_lines(taught) if line["split"] == "val")
    assert first["logits"] == pytest.approx(0.0, abs=1e-6)
    assert runs.read_lines(taught)[-1]["logits"] > 1e-4


def test_the_fusions_weights_are_those_of_the_mixture(distiller: Make) -> None:
    import torch

    module = distiller(*KL, "fusion.weights=[0.75,0.25]")
    weights = module(read_alike()).logits.weights
    torch.testing.assert_close(weights, torch.tensor([[0.75], [0.25]]).expand_as(weights))
