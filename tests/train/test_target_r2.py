"""Held-out agreement of the student with its target, and with another text's."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.train.conftest import make_batch

Make = Callable[..., Any]


@pytest.mark.integration
def test_it_is_r2_over_all_covered_tokens(distiller: Make) -> None:
    import torch

    from kvdistill.train.target_r2 import compute_target_r2

    module = distiller()
    batches = [make_batch(seed=1), make_batch(seed=2, more=3)]
    report = compute_target_r2(module, batches)
    own, target, scores = {}, {}, []
    for one in batches:
        for layer, mine, fused in module.iterate_targets(one):
            mask = mine.mask & fused.mask
            for part in ("keys", "values"):
                at = layer, part
                own.setdefault(at, []).append(getattr(mine, part).transpose(1, 2)[mask])
                target.setdefault(at, []).append(getattr(fused, part).transpose(1, 2)[mask])
    for at in own:
        x, y = (torch.cat(part[at]).detach().double() for part in (own, target))
        scores.append(1 - (x - y).square().sum() / (y - y.mean(dim=0)).square().sum())
    assert report["held_out_r2"] == pytest.approx(float(sum(scores) / len(scores)))
    assert report["layers"]["0"]["k"] == pytest.approx(float(scores[0]))
    assert list(report["layers"]) == ["0", "1", "2"]


def test_a_student_that_holds_its_target_agrees_with_it_and_not_with_another(
    monkeypatch: pytest.MonkeyPatch, distiller: Make
) -> None:
    from kvdistill.train.target_r2 import compute_target_r2

    module = distiller()
    pairs = module.iterate_targets
    monkeypatch.setattr(module, "iterate_targets", lambda b: ((n, to, to) for n, _, to in pairs(b)))
    report = compute_target_r2(module, [make_batch(lengths=(7, 7, 6))])
    assert report["held_out_r2"] == 1
    assert report["shuffled_r2"] < 0.5


@pytest.mark.integration
def test_what_it_leaves_behind_is_the_module_as_it_was(distiller: Make) -> None:
    from kvdistill.train.target_r2 import compute_target_r2

    module = distiller("fusion=learnable", "fusion.teacher_dropout=0.5").train()
    assert compute_target_r2(module, [make_batch()]) == compute_target_r2(module, [make_batch()])
    assert module.training
    assert all(p.grad is None for p in module.parameters())


def test_a_text_alone_has_no_other_to_be_held_against(distiller: Make) -> None:
    from kvdistill.train.target_r2 import compute_target_r2

    report = compute_target_r2(distiller(teachers=("a",)), [make_batch(("a",), lengths=(7,))])
    assert report["held_out_r2"] is not None
    assert report["shuffled_r2"] is None
