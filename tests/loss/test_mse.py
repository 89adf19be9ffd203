"""The mean squared residual."""

import torch

from kvdistill.loss.mse import MSE


def test_by_eye():
    # Residuals 2 and 4 over a standard deviation of 2: (1 + 4) / 2.
    own, target = torch.tensor([[[[3.0, 5.0]]]]), torch.tensor([[[[1.0, 1.0]]]])
    value = MSE()(own, target, torch.tensor([[True]]), torch.tensor(2.0))
    assert value.tolist() == [2.5]


def test_the_literal_loop(layer):
    own, target, mask = layer()
    expected = []
    for b in range(3):
        terms = [
            ((own[b, h, s, d] - target[b, h, s, d]) / 0.7) ** 2
            for h in range(2)
            for s in range(6)
            if mask[b, s]
            for d in range(4)
        ]
        expected.append(sum(terms) / len(terms))
    torch.testing.assert_close(MSE()(own, target, mask, torch.tensor(0.7)), torch.stack(expected))


def test_knowing_only_the_mean_costs_one(layer):
    # With a centred target and its own standard deviation the loss is 1 - R^2.
    _, target, mask = layer(seq=50)
    mask[:] = True
    target = target - target.mean((0, 2), keepdim=True)
    value = MSE()(torch.zeros_like(target), target, mask, target.std(correction=0))
    torch.testing.assert_close(value.mean(), torch.tensor(1.0))
