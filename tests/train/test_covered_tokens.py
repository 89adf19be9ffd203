"""Only covered student tokens are compared, and nothing of the result shows it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.train.conftest import make_batch

Make = Callable[..., Any]


def test_covered_tokens_come_first_in_their_order() -> None:
    import torch

    from kvdistill.train.covered_tokens import CoveredTokens
    from kvdistill.types import KV, Links

    def links(*counts: int) -> Links:
        each = torch.tensor(counts)
        total = int(each.sum())
        return Links(torch.arange(total), torch.ones(total), each.cumsum(0) - each, 4, 9)

    first, second = links(0, 1, 0, 2, 0, 0, 0, 1), links(0, 0, 0, 1, 0, 0, 1, 0)
    covered = CoveredTokens.from_links([first, second])
    assert covered.positions.tolist() == [[1, 3], [2, 3]]
    assert covered.mask.all()
    assert covered.select_links(first).mask.tolist() == [[True, True], [False, True]]
    x = torch.arange(9.0)[:, None]
    whole = first.apply(x)
    assert torch.equal(covered.select_links(first).apply(x)[0], whole[0, [1, 3]])
    assert torch.equal(covered.select_links(first).apply(x)[1], whole[1, [2, 3]])
    keys = torch.arange(16.0).view(2, 4, 2, 1).transpose(1, 2)
    own = covered.gather_kv(KV(keys, -keys, torch.ones(2, 4, dtype=torch.bool)))
    assert torch.equal(own.keys[1, :, 0, 0], keys[1, :, 2, 0])
    assert torch.equal(own.values[0, :, 1, 0], -keys[0, :, 3, 0])


def test_a_text_with_fewer_covered_tokens_is_padded_and_masked() -> None:
    import torch

    from kvdistill.train.covered_tokens import CoveredTokens
    from kvdistill.types import Links

    counts = torch.tensor([1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])
    links = Links(torch.arange(3), torch.ones(3), counts.cumsum(0) - counts, 4, 9)
    covered = CoveredTokens.from_links([links])
    assert covered.mask.tolist() == [[True, True], [True, False], [False, False]]
    assert covered.positions.tolist() == [[0, 1], [3, 0], [0, 0]]
    assert torch.equal(covered.select_links(links).mask, covered.mask)


@pytest.mark.integration
@pytest.mark.parametrize("choice", ["fusion=similarity", "fusion=learnable", "loss=gram"])
@pytest.mark.parametrize("position", ["none", "rephase", "post_rope"])
def test_terms_and_gradients_are_those_of_all_tokens(
    distiller: Make, monkeypatch: pytest.MonkeyPatch, choice: str, position: str
) -> None:
    import torch

    from kvdistill.train import step
    from kvdistill.train.covered_tokens import CoveredTokens

    def cover_all(links: Any) -> CoveredTokens:
        mask = links[0].mask
        at = torch.arange(mask.shape[1]).expand(mask.shape)
        return CoveredTokens(at, torch.ones_like(mask))

    overrides = (choice, f"position={position}", "compression.keep=0.4")
    outcomes = []
    for patched in (False, True):
        with monkeypatch.context() as patch:
            if patched:
                patch.setattr(step.CoveredTokens, "from_links", cover_all)
            module = distiller(*overrides)
            terms = module(make_batch(lengths=(9, 4)))[1]
            terms.kv.backward()
            k = module.student.model.layers[0].self_attn.k_proj.weight.grad
            outcomes.append((terms.kv, terms.keys, terms.weights, terms.entropy, k))
    for one, other in zip(*outcomes, strict=True):
        # Sums over other shapes: float32 rounds them in another order.
        assert (one - other).norm() <= 1e-5 * one.norm()
