"""A geometry read from a config, and a wrong YAML caught."""

from dataclasses import replace

import pytest
from transformers import Gemma3Config, LlamaConfig, Qwen3Config

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.geometry import read_geometry, verify_geometry

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
    assert read_geometry(LLAMA) == STATED


def test_a_head_size_of_its_own_is_read():
    config = Qwen3Config(hidden_size=32, num_attention_heads=4, head_dim=16)
    assert read_geometry(config).head_dim == 16


def test_the_text_part_of_a_multimodal_config_is_read():
    assert read_geometry(Gemma3Config(text_config={"num_hidden_layers": 5})).layers == 5


def test_the_true_geometry_passes():
    verify_geometry(STATED, LLAMA, "student.geometry")


def test_every_wrong_field_is_named_with_both_values():
    wrong = replace(STATED, kv_heads=4, tied_embeddings=False)
    with pytest.raises(ConfigError) as error:
        verify_geometry(wrong, LLAMA, "teachers.a.geometry")
    assert "teachers.a.geometry.kv_heads is 4 but the model has 2" in str(error.value)
    assert "teachers.a.geometry.tied_embeddings is False but the model has True" in str(error.value)
    assert "layers" not in str(error.value)
