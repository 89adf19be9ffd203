"""Tokens that are left out are as tokens that no teacher covers, and others count by weight."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.train.conftest import make_batch

Make = Callable[..., Any]

PARTS = (
    (), ("compression.keep=0.4",), ("compression=snap_kv", "compression.heads=own"),
    ("fusion=similarity", "loss=gram"), ("projection=linear", "position=post_rope"),
)  # fmt: skip


def read_terms(module: Any, batch: Any) -> list[Any]:
    terms = module(batch).kv
    module.zero_grad()
    terms.kv.backward()
    gradient = module.student.model.layers[0].self_attn.k_proj.weight.grad
    return [terms.kv, terms.keys, terms.values, terms.weights, terms.entropy, gradient.clone()]


def uncover(batch: Any, mask: Any) -> Any:
    """The batch whose teachers have no link where the mask is False, link by link."""
    import torch

    teachers = {}
    for name, reading in batch.teachers.items():
        links, rows, weights, counts = reading.links, [], [], []
        ends = [*links.offsets.tolist()[1:], len(links.teacher_rows)]
        for token, (start, end) in enumerate(zip(links.offsets.tolist(), ends, strict=True)):
            span = range(start, end) if mask.flatten()[token] else range(0)
            rows += [links.teacher_rows[i] for i in span]
            weights += [links.weight[i] for i in span]
            counts.append(len(span))
        total = torch.tensor(counts)
        left = replace(
            links, teacher_rows=torch.stack(rows), weight=torch.stack(weights),
            offsets=total.cumsum(0) - total,
        )  # fmt: skip
        teachers[name] = replace(reading, links=left)
    return replace(batch, teachers=teachers)


@pytest.mark.integration
@pytest.mark.parametrize("overrides", PARTS, ids=str)
def test_the_answer_alone_is_compared_as_if_nothing_else_was_covered(
    distiller: Make, overrides: tuple[str, ...]
) -> None:
    import torch

    batch = make_batch(lengths=(9, 6))
    chosen = read_terms(distiller("loss/tokens=answer", *overrides), batch)
    expected = read_terms(distiller(*overrides), uncover(batch, batch.student.answer))
    for one, other in zip(chosen, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.integration
def test_padding_and_what_stands_in_it_change_nothing(distiller: Make) -> None:
    import torch

    for choice in (("last_k", "loss.tokens.k=2"), ("position_weighted",)):
        module = distiller(f"loss/tokens={choice[0]}", *choice[1:])
        plain = read_terms(module, make_batch())
        padded = read_terms(module, make_batch(more=3, pad=7))
        for one, other in zip(plain, padded, strict=True):
            torch.testing.assert_close(one, other)


def test_a_weighted_run_is_the_weighted_mean_of_what_its_tokens_are_apart(distiller: Make) -> None:
    import torch

    batch, scene = make_batch(lengths=(9, 6)), []
    module = distiller("loss/tokens=position_weighted")
    _, terms = module.compute_logits(batch, lambda *compared: scene.append(compared))
    weights = module.objective.tokens.weigh_tokens(batch.student)
    covered = torch.stack([each.links.mask for each in batch.teachers.values()]).any(dim=0)
    for index, (layer, own, target) in enumerate(scene):
        std = module.objective.average_target_std(layer, "keys")
        texts = []
        for text in range(2):
            at = ((weights[text] > 0) & covered[text]).nonzero().flatten()
            assert int(target.mask[text].sum()) == len(at)
            total = lost = 0.0
            for place, token in enumerate(at):
                gap = ((own.keys - target.keys)[text, :, place] / std).square().mean()
                total, lost = total + weights[text, token], lost + weights[text, token] * gap
            texts.append(lost / total)
        torch.testing.assert_close(terms.keys[index], torch.stack(texts).mean())


@pytest.mark.integration
def test_a_choice_of_all_adds_nothing_to_the_step(distiller: Make) -> None:
    import torch

    ends_alike = ("loss/tokens=position_weighted", "loss.tokens.first=1.0", "loss.tokens.last=1.0")
    alike, answer = (
        read_terms(distiller(*each), make_batch()) for each in (ends_alike, ["loss/tokens=answer"])
    )
    for one, other in zip(alike, answer, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("choice", ["answer", "last_k", "position_weighted"])
def test_validation_and_agreement_are_of_the_tokens_that_are_compared(
    distiller: Make, choice: str
) -> None:
    from kvdistill.train.target_r2 import compute_target_r2
    from kvdistill.train.validation import Validation

    module, batch = distiller(f"loss/tokens={choice}"), make_batch(lengths=(9, 8, 6))
    numbers, _, losses = Validation([batch])(module, "cpu")
    assert all(value is not None for value in losses.nmse["kv_nmse"])
    assert numbers["kv"] > 0
    assert compute_target_r2(module, [batch])["held_out_r2"] is not None


@pytest.mark.integration
def test_packed_texts_are_compared_at_the_same_tokens(trained: Make) -> None:
    from kvdistill.data.packing import Packing

    runs = [
        trained("loss/tokens=position_weighted", packing=packing)
        for packing in (None, Packing(one_row=False))
    ]
    lines = [
        [json.loads(line) for line in run.curves.path.read_text().splitlines()] for run in runs
    ]
    for one, other in zip(*lines, strict=True):
        assert one["kv"] == pytest.approx(other["kv"], rel=1e-4)
