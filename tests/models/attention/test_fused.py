"""Keys and values of one projection for all, against its rows by hand, layout by layout."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.pytorch_utils import Conv1D

from kvdistill.models.attention.sources import locate_sources
from kvdistill.models.capture import Capture
from tests.house.families import build_config, build_model, make_tokens

HEADS, DIM = 4, 8
"""Query heads of all the tiny models, and how wide each is."""
Rows = tuple[list[int], list[int]]
"""Of the keys and of the values in the projection's output, head by head."""


def block(first: int, heads: int) -> list[int]:
    """Heads one behind the other."""
    return list(range(first * DIM, (first + heads) * DIM))


def queries_keys_values(kv_heads: int) -> Rows:
    """All queries, then all keys, then all values."""
    return block(HEADS, kv_heads), block(HEADS + kv_heads, kv_heads)


def keys_values(kv_heads: int) -> Rows:
    """The same without queries."""
    return block(0, kv_heads), block(kv_heads, kv_heads)


def head_by_head(kv_heads: int) -> Rows:
    """For each KV head the queries that share it, its key, its value."""
    group = HEADS // kv_heads + 2
    keys = [row for head in range(kv_heads) for row in block(head * group + group - 2, 1)]
    return keys, [row + DIM for row in keys]


def four_parts_values_before_keys(_: int) -> Rows:
    """For each of four parts its queries, its values, its keys: as CodeGen was trained on TPUs."""
    values = [row for part in range(4) for row in block(3 * part + 1, 1)]
    return [row + DIM for row in values], values


LAYOUTS: dict[str, tuple[Callable[[int], Rows], int, float]] = {
    "Phi-3": (queries_keys_values, 2, math.inf),
    "GPT-2": (queries_keys_values, 4, math.inf),
    "StarCoder": (queries_keys_values, 1, math.inf),
    "MPT": (queries_keys_values, 4, 1.0),
    "DBRX": (queries_keys_values, 2, 1.0),
    "Baichuan": (queries_keys_values, 4, math.inf),
    "JetMoE": (keys_values, 2, math.inf),
    "Falcon": (head_by_head, 1, math.inf),
    "Falcon, grouped": (head_by_head, 2, math.inf),
    "Falcon, ALiBi": (head_by_head, 1, math.inf),
    "GPT-NeoX": (head_by_head, 4, math.inf),
    "BLOOM": (head_by_head, 4, math.inf),
    "StarCoder, a KV head a query head": (head_by_head, 4, math.inf),
    "CodeGen": (four_parts_values_before_keys, 4, math.inf),
}
"""Family -> its layout, its KV heads, and where it clips."""


@dataclass
class Captured:
    """What a forward gave of layer 1, and the projection that gave it."""

    model: Any
    projection: nn.Module
    input: Tensor
    kv: Any


def capture_layer(name: str) -> Captured:
    """Layer 1 of a tiny student in training."""
    model = (build_packed() if name == "Baichuan" else build_model(build_config(name))).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    tokens, capture = make_tokens(), Capture(model, [1])
    projection = locate_sources(model, [1])[1].keys.module
    inputs: list[Tensor] = []
    projection.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    with capture:
        model(input_ids=tokens.ids, attention_mask=tokens.mask.long(), use_cache=False)
    return Captured(model, projection, inputs[-1], capture.pop_layers(tokens)[1].kv)


def read_matrix(projection: Any) -> Tensor:
    """Its weights, a row a number of its output."""
    weight: Tensor = projection.weight
    return weight.T if isinstance(projection, Conv1D) else weight


@pytest.mark.parametrize("name", LAYOUTS)
def test_keys_and_values_are_their_rows_of_the_projection(name):
    layout, kv_heads, limit = LAYOUTS[name]
    captured = capture_layer(name)
    matrix, bias = read_matrix(captured.projection), getattr(captured.projection, "bias", None)
    for part, rows in zip(("keys", "values"), layout(kv_heads), strict=True):
        expected = F.linear(captured.input, matrix[rows], None if bias is None else bias[rows])
        expected = expected.clamp(-limit, limit).unflatten(-1, (kv_heads, DIM)).transpose(1, 2)
        torch.testing.assert_close(getattr(captured.kv, part), expected)
        if limit < math.inf:
            assert (expected.abs() == limit).any()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_loss_on_one_part_trains_its_rows_and_no_other(name):
    layout, kv_heads, _ = LAYOUTS[name]
    captured = capture_layer(name)
    for part, rows in zip(("keys", "values"), layout(kv_heads), strict=True):
        weight = captured.projection.weight
        loss = getattr(captured.kv, part).square().sum()
        (gradient,) = torch.autograd.grad(loss, weight, retain_graph=True)
        gradient = gradient.T if isinstance(captured.projection, Conv1D) else gradient
        trained = gradient.abs().sum(dim=1).nonzero().flatten().tolist()
        assert trained == sorted(rows)


@pytest.mark.parametrize("name", ["Phi-3", "GPT-NeoX", "StarCoder", "MPT", "DBRX", "JetMoE"])
def test_values_are_what_attention_is_handed(name, monkeypatch):
    handed: list[Tensor] = []
    plain = F.scaled_dot_product_attention
    multiply = torch.matmul

    def attend(query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        handed.append(value)
        return plain(query, key, value, *args, **kwargs)

    def mix(one: Tensor, other: Tensor) -> Tensor:
        handed.append(other)  # of MPT, which attends by plain products
        return multiply(one, other)

    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    if name == "MPT":
        monkeypatch.setattr(torch, "matmul", mix)
    captured = capture_layer(name)
    values = handed[-1]
    copies = values.shape[1] // captured.kv.values.shape[1]
    torch.testing.assert_close(captured.kv.values.repeat_interleave(copies, dim=1), values)


def test_what_a_config_clips_is_clipped_where_the_few_tokens_did_not_reach_it():
    config = build_config("MPT")
    config.attn_config.clip_qkv = 50.0
    model, tokens = build_model(config), make_tokens()
    capture = Capture(model, [1])
    with torch.no_grad():
        model.transformer.blocks[1].attn.Wqkv.weight *= 100
    with torch.no_grad(), capture:
        cache = model(input_ids=tokens.ids, use_cache=True).past_key_values
    captured = capture.pop_layers(tokens)[1].kv
    assert captured.keys.abs().max() == 50
    torch.testing.assert_close(captured.keys, cache.layers[1].keys)
    torch.testing.assert_close(captured.values, cache.layers[1].values)


def test_in_half_precision_a_bias_is_clipped_with_its_product():
    config = build_config("OLMo, clipped")
    config.attention_bias = True
    model, tokens = build_model(config).bfloat16(), make_tokens()
    capture = Capture(model, [1])
    with torch.no_grad(), capture:
        cache = model(input_ids=tokens.ids, use_cache=True).past_key_values
    captured = capture.pop_layers(tokens)[1].kv
    assert captured.bias is None
    torch.testing.assert_close(captured.values, cache.layers[1].values)


class PackedConfig(PreTrainedConfig):
    """Of a model that brings its own code, from before transformers' caches."""

    model_type = "baichuan"

    def __init__(self, **kwargs: Any) -> None:
        self.num_hidden_layers, self.num_attention_heads = 2, HEADS
        self.hidden_size, self.vocab_size = HEADS * DIM, 50
        super().__init__(**kwargs)


class PackedLayer(nn.Module):
    """Queries, keys and values by one W_pack, keys turned; returns its keys and values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.W_pack, self.o_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.register_buffer("inv_freq", 0.1 ** torch.arange(DIM // 2), persistent=False)

    def turn(self, x: Tensor) -> Tensor:
        """RoFormer's rotation of one half against the other."""
        angle = torch.arange(x.shape[2])[:, None] * self.inv_freq
        first, second = x.chunk(2, dim=-1)
        cos, sin = angle.cos(), angle.sin()
        return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The residual stream behind attention, and what a cache would hold."""
        parts = (part.unflatten(-1, (HEADS, DIM)) for part in self.W_pack(x).chunk(3, dim=-1))
        queries, keys, values = (part.transpose(1, 2) for part in parts)
        queries, keys = self.turn(queries), self.turn(keys)
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return x + self.o_proj(mixed.transpose(1, 2).flatten(2)), (keys, values)


class PackedModel(PreTrainedModel):
    """Takes and gives caches as tuples alone."""

    config_class = PackedConfig

    def __init__(self, config: PackedConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(PackedLayer(config.hidden_size) for _ in range(2))
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: tuple[tuple[Tensor, Tensor], ...] | None = None,
        use_cache: bool = False,
    ) -> BaseModelOutputWithPast:
        """As transformers' own bodies once did."""
        hidden, kept = self.embed_tokens(input_ids), []
        for layer in self.layers:
            hidden, pair = layer(hidden)
            kept.append(pair)
        if past_key_values is not None:
            assert past_key_values[0][0].shape[2] >= 0
        return BaseModelOutputWithPast(hidden, tuple(kept) if use_cache else None)


def build_packed() -> PackedModel:
    """A tiny random one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = PackedModel(PackedConfig())
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.3)
    return model


def test_a_model_that_knows_no_cache_of_transformers_is_captured_by_what_it_returns():
    source = locate_sources(build_packed(), [1])[1]
    assert (source.keys.name, source.keys.heads) == ("W_pack", slice(4, 8, 1))
    assert (source.values.name, source.values.heads) == ("W_pack", slice(8, 12, 1))
    assert source.queries is not None
    assert source.rotary.explain_refusal() == ""
