"""A geometry read from a config, and a wrong YAML caught."""

from dataclasses import replace

import pytest
from transformers import (
    DeepseekV3Config,
    FalconConfig,
    Gemma3Config,
    GPT2Config,
    GPTBigCodeConfig,
    LlamaConfig,
    MambaConfig,
    OPTConfig,
    Qwen3Config,
    SmolLM3Config,
)

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.geometry import keep_config_layers, read_geometry, verify_geometry

LLAMA = LlamaConfig(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    vocab_size=50,
    tie_word_embeddings=True,
)
STATED = Geometry(
    layers=3,
    hidden_size=32,
    intermediate_size=48,
    heads=4,
    kv_heads=2,
    head_dim=8,
    vocab_size=50,
    tied_embeddings=True,
)


def test_a_llama_config_reads_as_its_geometry():
    assert Geometry(**read_geometry(LLAMA)) == STATED


def test_a_head_size_of_its_own_is_read():
    config = Qwen3Config(hidden_size=32, num_attention_heads=4, head_dim=16)
    assert read_geometry(config)["head_dim"] == 16


def test_the_text_part_of_a_multimodal_config_is_read():
    assert read_geometry(Gemma3Config(text_config={"num_hidden_layers": 5}))["layers"] == 5


def test_the_true_geometry_passes():
    verify_geometry(STATED, LLAMA, "student.geometry")


def test_every_wrong_field_is_named_with_both_values():
    wrong = replace(STATED, kv_heads=4, tied_embeddings=False)
    with pytest.raises(ConfigError) as error:
        verify_geometry(wrong, LLAMA, "teachers.a.geometry")
    assert "teachers.a.geometry.kv_heads is 4 but the model has 2" in str(error.value)
    assert "teachers.a.geometry.tied_embeddings is False but the model has True" in str(error.value)
    assert "layers" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "kv_heads", "mlp"),
    [
        (GPT2Config(n_embd=32, n_head=4), 4, 128),
        (GPTBigCodeConfig(n_embd=32, n_head=4), 1, 128),
        (FalconConfig(hidden_size=32, num_attention_heads=4), 1, 128),
        (FalconConfig(hidden_size=32, num_attention_heads=4, multi_query=False), 4, 128),
        (
            FalconConfig(
                hidden_size=32, num_attention_heads=4, num_kv_heads=2, new_decoder_architecture=True
            ),
            2,
            128,
        ),
        (OPTConfig(hidden_size=32, num_attention_heads=4, ffn_dim=48), 4, 48),
    ],
    ids=["gpt2", "gpt_bigcode", "falcon", "falcon_multi_head", "falcon_grouped", "opt"],
)
def test_sizes_are_read_whatever_a_family_calls_them(config, kv_heads, mlp):
    sizes = read_geometry(config)
    assert (sizes["kv_heads"], sizes["intermediate_size"], sizes["head_dim"]) == (kv_heads, mlp, 8)


def test_a_model_without_attention_states_no_heads():
    assert not {"heads", "kv_heads", "head_dim"} & read_geometry(MambaConfig()).keys()


def test_what_differs_from_layer_to_layer_stays_with_its_layer():
    config = SmolLM3Config(num_hidden_layers=4, no_rope_layers=[1, 0, 1, 0])
    config.mlp_only_layers = [0, 1, 2, 3]  # numbers of layers, and by chance as many
    keep_config_layers(config, [1, 2])
    assert (config.num_hidden_layers, config.no_rope_layers) == (2, [0, 1])
    assert (len(config.layer_types), config.mlp_only_layers) == (2, [0, 1])
    config = DeepseekV3Config(num_hidden_layers=6, first_k_dense_replace=3)
    keep_config_layers(config, [1, 4, 5])
    assert config.first_k_dense_replace == 1
