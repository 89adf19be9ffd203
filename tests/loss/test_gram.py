"""Relations between tokens."""

import torch

from kvdistill.loss.gram import Gram

ONE = torch.tensor(1.0)


def test_by_eye():
    # Two tokens of width 1: Gram [[1, 2], [2, 4]] against [[1, 0], [0, 0]]: (0 + 4 + 4 + 16) / 4.
    own, target = torch.tensor([[[[1.0], [2.0]]]]), torch.tensor([[[[1.0], [0.0]]]])
    assert Gram()(own, target, torch.tensor([[True, True]]), ONE).tolist() == [6.0]


def test_the_literal_loop_over_pairs_of_tokens(layer):
    own, target, mask = layer()
    scale, width, expected = 0.7, 8, []
    for b in range(3):
        tokens = [s for s in range(6) if mask[b, s]]
        terms = []
        for i in tokens:
            for j in tokens:
                x = sum(float(own[b, h, i] @ own[b, h, j]) for h in range(2))
                y = sum(float(target[b, h, i] @ target[b, h, j]) for h in range(2))
                terms.append(((x - y) / (width * scale**2)) ** 2)
        expected.append(sum(terms) / len(terms))
    torch.testing.assert_close(
        Gram()(own, target, mask, torch.tensor(scale)), torch.tensor(expected)
    )


def test_it_is_blind_to_a_rotation_of_the_student(layer):
    own, target, mask = layer()
    generator = torch.Generator().manual_seed(0)
    turn, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator))
    turned = (own.transpose(1, 2).flatten(2) @ turn).unflatten(2, (2, 4)).transpose(1, 2)
    torch.testing.assert_close(Gram()(turned, target, mask, ONE), Gram()(own, target, mask, ONE))
    torch.testing.assert_close(Gram()(turned, own, mask, ONE), torch.zeros(3), atol=1e-6, rtol=0)
