"""The rotary operator against transformers' own modules and a literal loop."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma3TextConfig,
    LlamaConfig,
    Qwen2Config,
    SmolLM3Config,
)
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from kvdistill.errors import ConfigError
from kvdistill.models.attention.rotary import Rotary
from kvdistill.models.capture import Capture

SIZES = {
    "hidden_size": 256,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 8,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "max_position_embeddings": 131072,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e6,
    "factor": 4.0,
    "original_max_position_embeddings": 32768,
}
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
CONFIGS = {
    "qwen2": Qwen2Config(**SIZES, rope_parameters={"rope_type": "default", "rope_theta": 1e6}),
    "llama3": LlamaConfig(**SIZES, rope_parameters=LLAMA3),
    "yarn": Qwen2Config(**SIZES, rope_parameters=YARN),
    "linear": LlamaConfig(**SIZES, rope_parameters=LINEAR),
}


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def unrotate(rotary, keys, positions):
    """Turns back, by the same operator: minus the positions, and one over the scaling."""
    return Rotary(rotary.inv_freq, 1 / rotary.attention_scaling).rotate(keys, -positions)


def build(config):
    return AutoModelForCausalLM.from_config(config)


def read_rotaries(model, layers):
    return Capture(model, layers).read_rotaries()


@pytest.mark.parametrize("name", CONFIGS)
def test_rotation_is_the_models_own_and_back_again(name):
    model = build(CONFIGS[name])
    rotary = read_rotaries(model, [1])[1]
    keys, positions = random(2, 2, 1024, 128), torch.arange(1024).expand(2, -1)
    cos, sin = model.model.rotary_emb(keys, positions)
    theirs = apply_rotary_pos_emb(keys, keys, cos, sin)[1]
    ours = rotary.rotate(keys, positions)
    assert (ours - theirs).abs().max() <= 1e-6
    assert (unrotate(rotary, theirs, positions) - keys).abs().max() <= 1e-6


def test_yarn_scales_the_keys_and_the_inverse_undoes_it():
    rotary = read_rotaries(build(CONFIGS["yarn"]), [0])[0]
    assert rotary.attention_scaling == pytest.approx(0.1 * math.log(4) + 1)
    keys, positions = random(1, 1, 3, 128), torch.arange(3)[None]
    norms = rotary.rotate(keys, positions).norm() / keys.norm()
    assert norms.item() == pytest.approx(rotary.attention_scaling, rel=1e-5)


def test_a_quarter_turn_by_eye():
    rotary = Rotary(torch.tensor([math.pi / 2, 0.0]), 2.0)
    keys = torch.tensor([[[[1.0, 2.0, 3.0, 4.0, 5.0]]]])  # pairs (1, 3), (2, 4); 5 is not turned
    turned = rotary.rotate(keys, torch.tensor([[1]]))
    torch.testing.assert_close(turned, torch.tensor([[[[-6.0, 4.0, 2.0, 8.0, 5.0]]]]))


def test_a_literal_loop_over_pairs_agrees():
    rotary = Rotary(torch.tensor([1.0, 0.3, 0.01]), 1.5)
    keys, positions = random(2, 2, 4, 8), torch.tensor([[0, 1, 2, 3], [5, 7, 900, 901]])
    expected = keys.clone()
    for b in range(2):
        for t in range(4):
            for i in range(3):
                z = keys[b, :, t, i] + 1j * keys[b, :, t, i + 3]
                angle = positions[b, t].item() * rotary.inv_freq[i].item()
                z = z * 1.5 * complex(math.cos(angle), math.sin(angle))
                expected[b, :, t, i], expected[b, :, t, i + 3] = z.real, z.imag
    torch.testing.assert_close(rotary.rotate(keys, positions), expected, atol=1e-4, rtol=1e-4)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    position=st.integers(0, 100_000),
    half=st.integers(1, 16),
    extra=st.integers(0, 4),
    scaling=st.floats(0.5, 2.0),
    seed=st.integers(0, 999),
)
def test_unrotate_inverts_rotate_and_only_distances_matter(position, half, extra, scaling, seed):
    generator = torch.Generator().manual_seed(seed)
    rotary = Rotary(torch.rand(half, generator=generator), scaling)
    keys = random(1, 2, 2, 2 * half + extra, seed=seed)
    positions = torch.tensor([[position, position + 3]])
    turned = rotary.rotate(keys, positions)
    torch.testing.assert_close(unrotate(rotary, turned, positions), keys, atol=1e-5, rtol=1e-5)
    near = rotary.rotate(keys, torch.tensor([[0, 3]]))

    def dot(x):
        return (x[:, :, 0] * x[:, :, 1]).sum(-1)

    # Half an ulp of a large angle in float32 is what is left of the law.
    torch.testing.assert_close(dot(turned), dot(near), atol=1e-4 + position * 4e-6, rtol=1e-3)


def test_half_precision_is_rotated_in_fp32():
    rotary = read_rotaries(build(CONFIGS["qwen2"]), [0])[0]
    keys, positions = random(1, 1, 64, 128).bfloat16(), torch.arange(64)[None] + 60_000
    turned = rotary.rotate(keys, positions)
    assert turned.dtype == torch.float32
    torch.testing.assert_close(turned, rotary.rotate(keys.float(), positions))


def test_gemma_layers_have_their_own_frequencies():
    config = Gemma3TextConfig(
        **SIZES, head_dim=32, layer_types=["sliding_attention", "full_attention"]
    )
    rotaries = read_rotaries(build(config), [0, 1])
    assert not torch.allclose(rotaries[0].inv_freq, rotaries[1].inv_freq)


def test_interleaved_pairs_are_refused_by_name():
    with pytest.raises(ConfigError, match="CohereModel does not turn its keys by the half-split"):
        read_rotaries(build(CohereConfig(**SIZES)), [0])


def test_frequencies_that_depend_on_the_text_are_refused_by_name():
    dynamic = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    model = build(LlamaConfig(**SIZES, rope_parameters=dynamic))
    with pytest.raises(
        ConfigError, match=r"'dynamic'.*supported are default, linear, llama3, yarn"
    ):
        read_rotaries(model, [0])


def test_a_layer_without_rotary_embedding_is_refused_by_name():
    model = build(SmolLM3Config(**SIZES, no_rope_layers=[1, 0]))
    read_rotaries(model, [0])
    with pytest.raises(ConfigError, match="layer 1 of SmolLM3Model has no rotary embedding"):
        read_rotaries(model, [1])


@pytest.mark.parametrize("interleaved", [False, True])
def test_the_mean_rotation_is_the_mean_of_the_rotations(interleaved):
    rotary = Rotary(torch.tensor([1.0, 0.3, 0.01]), 1.2, interleaved)
    keys, positions = random(2, 3, 5, 8), torch.tensor([[4, 9, 30], [0, 1, 2]])
    turned = rotary.rotate_by_mean(keys, positions)
    every = [
        rotary.rotate(keys, positions[:, n : n + 1].expand(-1, keys.shape[2])) for n in range(3)
    ]
    torch.testing.assert_close(turned, torch.stack(every).mean(dim=0))
    # Back by the mean rotation is its transpose: (R q) . k = q . (R' k).
    other = random(2, 3, 5, 8, seed=1)
    back = rotary.rotate_by_mean(other, -positions)
    torch.testing.assert_close((turned * other).sum(dim=-1), (keys * back).sum(dim=-1))
