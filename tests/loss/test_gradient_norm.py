"""Balancing by gradient norm."""

import pytest
import torch
from torch import distributed, nn
from torch.utils.checkpoint import checkpoint

from kvdistill.errors import ConfigError
from kvdistill.loss.gradient_norm import GradientNorm


@pytest.fixture
def terms():
    """Makes (ce, kv, weights) with gradients (3, 4) and `pull` times (6, 8)."""

    def make(pull=1.0):
        weight = nn.Parameter(torch.zeros(2))
        return (
            weight @ torch.tensor([3.0, 4.0]),
            pull * (weight @ torch.tensor([6.0, 8.0])),
            [weight],
        )

    return make


def test_the_factor_makes_the_two_pulls_equal_times_the_ratio(terms):
    assert GradientNorm(ratio=1.0, every=1, momentum=0.9)(*terms(), 0) == 0.5
    assert GradientNorm(ratio=3.0, every=1, momentum=0.9)(*terms(), 0) == 1.5


def test_later_measurements_are_smoothed(terms):
    balance = GradientNorm(ratio=1.0, every=1, momentum=0.75)
    balance(*terms(), 0)
    assert balance(*terms(pull=0.5), 1) == 0.75 * 0.5 + 0.25 * 1.0


def test_it_measures_every_so_many_steps(terms):
    balance = GradientNorm(ratio=1.0, every=3, momentum=0.0)
    pulls = [1.0, 2.0, 4.0, 8.0, 16.0]
    factors = [balance(*terms(pull), step).item() for step, pull in enumerate(pulls)]
    assert factors == [0.5, 0.5, 0.5, 0.0625, 0.0625]


def test_a_batch_without_a_kv_gradient_changes_nothing(terms):
    balance = GradientNorm(ratio=1.0, every=1, momentum=0.9)
    before = balance(*terms(), 0)
    assert balance(*terms(pull=0.0), 1) == before


def test_no_grad_is_left_behind_and_backward_still_works(terms):
    ce, kv, weights = terms()
    factor = GradientNorm(ratio=1.0, every=1, momentum=0.9)(ce, kv, weights, 0)
    assert weights[0].grad is None
    assert not factor.requires_grad
    (ce + factor * kv).backward()
    assert weights[0].grad.tolist() == [6.0, 8.0]


def test_it_measures_through_non_reentrant_checkpointing():
    torch.manual_seed(0)
    block, x = nn.Linear(4, 4), torch.ones(2, 4)

    def factor(out):
        balance = GradientNorm(ratio=1.0, every=1, momentum=0.9)
        value = balance(out.square().sum(), out.sum(), list(block.parameters()), 0)
        (out.square().sum() + value * out.sum()).backward()
        return value

    torch.testing.assert_close(
        factor(checkpoint(lambda x: block(x).tanh(), x, use_reentrant=False)),
        factor(block(x).tanh()),
    )


def test_resumed_from_a_checkpoint_it_goes_on_as_before(terms):
    balance = GradientNorm(ratio=1.0, every=1, momentum=0.5)
    balance(*terms(), 0)
    resumed = GradientNorm(ratio=1.0, every=1, momentum=0.5)
    resumed.load_state_dict(balance.state_dict())
    assert resumed(*terms(4.0), 1) == balance(*terms(4.0), 1)


def test_ranks_agree_on_the_mean_of_their_norms(terms, monkeypatch):
    # The other rank of two measured 15 and 2: (5 + 15) / (10 + 2).
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_backend", lambda: "gloo")
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(distributed, "all_reduce", lambda x: x.add_(torch.tensor([15.0, 2.0])))
    factor = GradientNorm(ratio=1.0, every=1, momentum=0.9)(*terms(), 0)
    assert factor.item() == pytest.approx(20 / 12)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("ratio", 0.0, r"loss\.balance\.ratio must be above 0, got 0"),
        ("every", 0, r"loss\.balance\.every must be at least 1 step, got 0"),
        ("momentum", 1.0, r"loss\.balance\.momentum must be in \[0, 1\), got 1"),
    ],
)
def test_other_settings_are_refused(field, value, message):
    with pytest.raises(ConfigError, match=message):
        GradientNorm(**{"ratio": 1.0, "every": 50, "momentum": 0.9, field: value})
