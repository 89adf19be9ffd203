"""Compiled layers against those that are not: loss, captured K and V, gradients."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from kvdistill.models.capture import Capture
from kvdistill.models.compile_layers import compile_layers
from kvdistill.types import Tokens

# What dynamo does to find out what it traces warns of itself.
pytestmark = pytest.mark.filterwarnings("ignore")
CONFIG = Qwen2Config(
    vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
    num_attention_heads=2, num_key_value_heads=2, pad_token_id=0,
)  # fmt: skip


def compute_gradients(model, capture, length):
    model.zero_grad()
    ids = torch.arange(2 * length).view(2, length) % 64
    mask = torch.ones_like(ids, dtype=torch.bool)
    tokens = Tokens(ids, mask, mask)
    with capture:
        out = model(**tokens.model_inputs, use_cache=False)
    layers = capture.pop_layers(tokens)
    loss = out.logits.square().mean()
    loss = loss + sum(x.kv.keys.square().mean() + x.kv.values.mean() for x in layers.values())
    loss.backward()
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}


def compare_compiled(backend, checkpointing):
    torch.manual_seed(0)
    plain = AutoModelForCausalLM.from_config(CONFIG).train()
    compiled = copy.deepcopy(plain)
    models = [(model, Capture(model, [0, 1])) for model in (plain, compiled)]
    if checkpointing:
        for model, _ in models:
            model.gradient_checkpointing_enable({"use_reentrant": False})
    compile_layers(compiled, backend)
    for length in (6, 9):
        (loss, expected), (ours, gradients) = (compute_gradients(*each, length) for each in models)
        torch.testing.assert_close(ours, loss)
        for name, gradient in expected.items():
            torch.testing.assert_close(gradients[name], gradient, msg=name)
    return compiled


@pytest.mark.integration
@pytest.mark.parametrize("checkpointing", [False, True])
def test_compiled_layers_are_captured_and_trained_as_plain_ones(checkpointing):
    graphs = []

    def count_graphs(graph, _):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    compiled = compare_compiled(count_graphs, checkpointing)
    assert graphs  # something of the layers was compiled
    made = len(graphs)
    compiled.eval()(input_ids=torch.arange(12)[None])
    assert len(graphs) == made  # and nothing of it in evaluation


@pytest.mark.slow
@pytest.mark.timeout(900)  # a compiler of C++ runs for every graph
@pytest.mark.parametrize("checkpointing", [False, True])
def test_inductors_layers_are_trained_as_plain_ones(checkpointing):
    torch.compiler.reset()
    compare_compiled("inductor", checkpointing)
