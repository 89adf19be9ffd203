"""What a config alone says of capture, against the model itself."""

import pytest
from transformers import AutoModelForCausalLM, FalconConfig, LlamaConfig, RwkvConfig

from kvdistill.errors import ConfigError
from kvdistill.models.attention.small_copy import build_small_copy, shrink_config
from kvdistill.models.check_capture import CaptureRequest, check_capture
from kvdistill.models.full_finetune import Whole
from tests.house.families import build_config

LARGE = LlamaConfig(
    hidden_size=8192, intermediate_size=28672, num_hidden_layers=80, num_attention_heads=64,
    num_key_value_heads=8, vocab_size=128256, pad_token_id=128000,
)  # fmt: skip


def test_a_copy_of_a_large_model_is_small_and_of_its_kind():
    config = shrink_config(LARGE, 3)
    assert (config.num_hidden_layers, config.num_attention_heads) == (3, 4)
    assert (config.num_key_value_heads, config.head_dim, config.hidden_size) == (2, 128, 512)
    assert LARGE.num_hidden_layers == 80
    model = build_small_copy(LARGE, 2)
    assert sum(p.numel() for p in model.parameters()) < 3e6
    assert isinstance(model, type(AutoModelForCausalLM.from_config(config)))


@pytest.mark.parametrize("heads", [71, 8])
def test_one_head_for_all_queries_stays_one(heads):
    config = shrink_config(FalconConfig(hidden_size=heads * 64, num_attention_heads=heads), 1)
    assert (config.multi_query, config.num_attention_heads, config.hidden_size) == (True, 2, 128)


def test_a_model_without_attention_is_refused_without_building_it():
    config = RwkvConfig(hidden_size=4096, num_hidden_layers=32)
    with pytest.raises(ConfigError, match=r"teachers\.b is a rwkv without attention"):
        check_capture(config, CaptureRequest("teachers.b", [0]))


def test_the_role_and_the_way_out_are_named():
    with pytest.raises(ConfigError, match=r"^teachers\.a: layer 1 of Deep.*\(MLA\).*arm=sft"):
        check_capture(build_config("DeepSeek V3"), CaptureRequest("teachers.a", [1]))


def test_a_layer_is_refused_only_where_it_is_read():
    config = build_config("LFM2")
    check_capture(config, CaptureRequest("teachers.a", [1]))
    with pytest.raises(ConfigError, match="layer 0 of Lfm2Model hands no K and V of its own"):
        check_capture(config, CaptureRequest("teachers.a", [0]))


def test_turned_keys_are_refused_only_where_they_are_turned():
    config = build_config("Cohere 2")
    check_capture(config, CaptureRequest("student", [0, 1]), Whole())
    with pytest.raises(ConfigError, match="student: layer 0 of Cohere2Model does not turn its"):
        check_capture(config, CaptureRequest("student", [0], needs_rotary=True), Whole())
