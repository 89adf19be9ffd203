"""Forward KL, reverse KL and JSD: literal loops, TRL's own function, and what must be 0."""

import math
import warnings

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.logits.forward_kl import ForwardKL
from kvdistill.logits.jsd import JSD
from kvdistill.logits.reverse_kl import ReverseKL

DISTANCES = {
    "forward": (lambda t: ForwardKL(temperature=t), 0.0),
    "reverse": (lambda t: ReverseKL(temperature=t), 1.0),
    "jsd": (lambda t: JSD(temperature=t, beta=0.3), 0.3),
    "jsd_0": (lambda t: JSD(temperature=t, beta=0.0), 0.0),
    "jsd_1": (lambda t: JSD(temperature=t, beta=1.0), 1.0),
}


def draw_logits(seed=0, tokens=6, vocab=11):
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.randn(2, tokens, vocab, generator=generator)).unbind()


def soften(z, temperature):
    return torch.log_softmax(z.float() / temperature, dim=1)


def loop_kl(p, q):
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))


def loop_distance(student, teacher, temperature, beta):
    """One token's, from lists of logits."""
    p_s, p_t = (
        [math.exp(z / temperature) / sum(math.exp(y / temperature) for y in row) for z in row]
        for row in (student, teacher)
    )
    if beta == 0:
        return temperature**2 * loop_kl(p_t, p_s)
    if beta == 1:
        return temperature**2 * loop_kl(p_s, p_t)
    m = [beta * b + (1 - beta) * a for a, b in zip(p_s, p_t, strict=True)]
    return temperature**2 * (beta * loop_kl(p_t, m) + (1 - beta) * loop_kl(p_s, m))


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_a_distance_is_its_literal_loop(name, temperature):
    build, beta = DISTANCES[name]
    student, teacher = draw_logits()
    found = build(temperature).measure_tokens(student, soften(teacher, temperature))
    expected = [
        loop_distance(a, b, temperature, beta)
        for a, b in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_a_distance_and_its_gradient_are_those_of_trl(name, temperature):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gkd = pytest.importorskip("trl.experimental.gkd")
    build, beta = DISTANCES[name]
    student, teacher = draw_logits(tokens=8)
    labels = torch.tensor([[1, 1, -100, 1, -100, 1, 1, 1]])
    theirs, own = (student.clone().requires_grad_() for _ in range(2))
    loss = gkd.GKDTrainer.generalized_jsd_loss(
        theirs[None], teacher[None], labels, beta=beta, temperature=temperature
    )
    mask = labels[0] != -100
    tokens = build(temperature).measure_tokens(own[mask], soften(teacher[mask], temperature))
    mean = tokens.mean() / temperature**2  # which TRL leaves out
    torch.testing.assert_close(mean, loss, rtol=1e-6, atol=1e-6)
    loss.backward()
    mean.backward()
    torch.testing.assert_close(own.grad, theirs.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", DISTANCES)
def test_a_student_that_says_the_same_is_at_distance_0_with_no_gradient(name):
    build, _ = DISTANCES[name]
    _, teacher = draw_logits()
    own = teacher.clone().requires_grad_()
    tokens = build(2.0).measure_tokens(own, soften(teacher, 2.0))
    tokens.sum().backward()
    assert tokens.abs().max() < 1e-6
    assert own.grad.abs().max() < 1e-6


@pytest.mark.parametrize("name", DISTANCES)
def test_a_distance_is_not_negative_and_half_precision_is_computed_in_float32(name):
    build, _ = DISTANCES[name]
    student, teacher = draw_logits(seed=3)
    half = student.bfloat16()
    tokens = build(1.0).measure_tokens(half, soften(teacher, 1.0))
    assert tokens.dtype == torch.float32
    assert (tokens > 0).all()
    assert torch.equal(tokens, build(1.0).measure_tokens(half.float(), soften(teacher, 1.0)))


@pytest.mark.parametrize("name", ["forward", "reverse"])
def test_the_gradient_keeps_its_size_under_a_high_temperature(name):
    build, _ = DISTANCES[name]
    student, teacher = draw_logits()
    sizes = []
    for temperature in (100.0, 1000.0):
        own = student.clone().requires_grad_()
        build(temperature).measure_tokens(own, soften(teacher, temperature)).sum().backward()
        sizes.append(own.grad.norm())
    torch.testing.assert_close(sizes[0], sizes[1], rtol=0.02, atol=0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    with pytest.raises(ConfigError, match=r"logits\.temperature must be above 0"):
        ForwardKL(temperature=temperature)


@pytest.mark.parametrize("beta", [-0.1, 1.1])
def test_a_beta_outside_0_and_1_is_refused(beta):
    with pytest.raises(ConfigError, match=r"logits\.distance\.beta=.* must be from 0"):
        JSD(temperature=1.0, beta=beta)
