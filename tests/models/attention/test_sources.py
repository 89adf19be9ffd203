"""What is captured against the model's own cache, for norms and projections of any name."""

import copy

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.models.attention.sources import locate_any_sources, locate_sources
from kvdistill.models.capture import Capture
from tests.house.families import build_config, build_model, make_tokens

MODULES = {
    "StableLM": ("self_attn.k_proj", slice(0, 2, 1)),
    "StableLM, q and k normed": ("self_attn.k_layernorm", slice(0, 2, 1)),
    "Phi, q and k normed": ("self_attn.k_layernorm", slice(0, 2, 1)),
    "Phi-3": ("self_attn.qkv_proj", slice(4, 6, 1)),
    "GPT-NeoX": ("attention.query_key_value", slice(1, 13, 3)),
    "Falcon": ("self_attention.query_key_value", slice(4, 5, 1)),
    "Falcon, grouped": ("self_attention.query_key_value", slice(2, 10, 4)),
}


def capture_layers(model, layers, tokens):
    capture = Capture(model, layers)
    with torch.no_grad(), capture:
        model(input_ids=tokens.ids, attention_mask=tokens.mask.long(), use_cache=False)
    return capture, capture.pop_layers(tokens)


@pytest.mark.parametrize("name", MODULES)
def test_captured_keys_turned_and_values_are_the_cache(name):
    model, tokens = build_model(build_config(name)), make_tokens()
    sources = locate_sources(model, [1])[1]
    assert (sources.keys.name, sources.keys.heads) == MODULES[name]
    capture, layers = capture_layers(model, [0, 1], tokens)
    with torch.no_grad():
        cache = model(input_ids=tokens.ids, attention_mask=tokens.mask.long()).past_key_values
    rotaries, positions = capture.read_rotaries(), torch.arange(6).expand(2, 6)
    for layer, captured in layers.items():
        keys = rotaries[layer].rotate(captured.kv.keys, positions)
        # Falcon's grouped form keeps a copy a query head.
        copies = cache.layers[layer].keys.shape[1] // keys.shape[1]
        torch.testing.assert_close(
            keys.repeat_interleave(copies, dim=1), cache.layers[layer].keys, atol=1e-5, rtol=1e-4
        )
        values = captured.kv.values.repeat_interleave(copies, dim=1)
        torch.testing.assert_close(values, cache.layers[layer].values)


@pytest.mark.parametrize("name", ["GPT-2", "OPT", "BLOOM", "Falcon, ALiBi"])
def test_without_a_rotary_embedding_captured_keys_are_the_cache(name):
    model, tokens = build_model(build_config(name)), make_tokens()
    _, layers = capture_layers(model, [0, 1], tokens)
    with torch.no_grad():
        cache = model(input_ids=tokens.ids, attention_mask=tokens.mask.long()).past_key_values
    for layer, captured in layers.items():
        torch.testing.assert_close(captured.kv.keys, cache.layers[layer].keys)
        torch.testing.assert_close(captured.kv.values, cache.layers[layer].values)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["Qwen 2", "StableLM, q and k normed"])
def test_half_precision_is_told_apart_from_another_module(name, dtype):
    model = build_model(build_config(name))
    expected = locate_sources(model, [0, 1])
    with torch.no_grad():
        # As Qwen 2.5 has it: a bias far above all else hides nothing in the other dimensions.
        for module in model.modules():
            if getattr(module, "bias", None) is not None and module.bias.numel() == 16:
                module.bias[3] = 300.0
    sources = locate_sources(model.to(dtype), [0, 1])
    for layer, each in sources.items():
        assert each.keys.name == expected[layer].keys.name
        assert each.rotary.rotary.inv_freq.dtype == torch.float32


def test_keys_normed_behind_the_rotation_are_refused_and_before_it_are_not():
    config = build_config("HunYuan")
    with pytest.raises(ConfigError, match=r"self_attn\.key_layernorm behind the rotary embedding"):
        locate_sources(build_model(config), [0])
    # The same norm without effect gives keys that a projection gives, turned.
    assert locate_sources(build_model(build_config("Qwen 3")), [0])[0].keys.name.endswith("k_norm")


def test_a_layer_whose_cache_was_tampered_with_is_refused():
    model = build_model(build_config("Llama"))
    assert locate_sources(model, [1])
    model.model.layers[1].self_attn.register_forward_pre_hook(_scale_cache, with_kwargs=True)
    with pytest.raises(ConfigError, match="layer 1 of LlamaModel caches values that are no mod"):
        locate_sources(model, [1])


def _scale_cache(module, args, kwargs):
    cache = kwargs["past_key_values"]
    update = cache.update
    cache.update = lambda keys, values, *rest, **more: update(keys, 2 * values, *rest, **more)
    return args, kwargs


def test_looking_leaves_the_model_as_it_was():
    model = build_model(build_config("Qwen 3")).train()
    model.model.layers[0].eval()
    modes = {name: module.training for name, module in model.named_modules()}
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    locate_sources(model, [0, 1])
    assert modes == {name: module.training for name, module in model.named_modules()}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    hooks = [m for m in model.modules() if m._forward_hooks or m._forward_pre_hooks]
    assert not hooks


def test_a_model_without_attention_has_no_sources_and_is_not_refused_for_fine_tuning():
    assert locate_any_sources(build_model(build_config("Mamba"))) == {}
    assert locate_any_sources(build_model(build_config("DeepSeek V3"))) == {}
    assert list(locate_any_sources(build_model(build_config("LFM2")))) == [1]


def test_an_adapter_that_is_still_zero_is_hooked_and_not_what_it_wraps():
    peft = pytest.importorskip("peft")
    model = peft.inject_adapter_in_model(
        peft.LoraConfig(r=2, target_modules=["k_proj"]), build_model(build_config("Qwen 3"))
    )
    source = locate_sources(model, [0])[0].keys
    assert (source.name, source.projection_name) == ("self_attn.k_norm", "self_attn.k_proj")
    trained = {n for n, p in source.projection.named_parameters() if p.requires_grad}
    assert trained == {"lora_A.default.weight", "lora_B.default.weight"}
