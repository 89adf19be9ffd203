"""Which attention a model computes with, and what cannot be had."""

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, Qwen2Config

from kvdistill.errors import ConfigError
from kvdistill.models.attention.implementation import (
    set_attention,
    set_reading_attention,
    use_plain_attention,
)
from kvdistill.models.capture import Capture

SIZES = {
    "vocab_size": 64, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "pad_token_id": 0,
}  # fmt: skip


@pytest.fixture
def model():
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(Qwen2Config(**SIZES)).eval()


def test_implementations_agree(model):
    ids, logits = torch.arange(10)[None], {}
    for name in (None, "eager", "sdpa"):
        set_attention(model, name, "student")
        with torch.no_grad():
            logits[name] = model(input_ids=ids).logits
        assert name in (None, model.config._attn_implementation)
    torch.testing.assert_close(logits["eager"], logits["sdpa"], atol=1e-5, rtol=1e-5)


def test_what_is_read_without_autocast_computes_by_what_takes_its_weights(model):
    set_reading_attention(model, {"attn_implementation": "eager"}, "student")
    assert model.config._attn_implementation == "eager"
    for train in ({"attn_implementation": "flash_attention_2"}, {"attn_implementation": None}, {}):
        set_reading_attention(model, train, "student")
        assert model.config._attn_implementation == "eager"
    with pytest.raises(ConfigError, match="flash_attention_2 is not to be had for student"):
        set_reading_attention(
            model.bfloat16(), {"attn_implementation": "flash_attention_2"}, "student"
        )


def test_what_a_machine_does_not_have_is_refused_by_role(model):
    with pytest.raises(ConfigError, match=r"flash_attention_2 is not to be had for teachers\.a"):
        set_attention(model, "flash_attention_2", "teachers.a")


def test_what_a_model_does_not_have_is_refused():
    gemma = AutoModelForCausalLM.from_config(Gemma2Config(**SIZES, head_dim=8))
    with pytest.raises(ConfigError, match=r"sdpa is not to be had for student.*Use null"):
        set_attention(gemma, "sdpa", "student")


def test_a_model_with_flash_kernels_is_traced_and_scored_without_them(model):
    # As transformers leaves it where the kernels are installed.
    model.config._attn_implementation_internal = "flash_attention_2"
    Capture(model, [0], with_attention=True)
    assert model.config._attn_implementation == "flash_attention_2"
    with use_plain_attention(model), torch.no_grad():
        assert model(input_ids=torch.arange(10)[None]).logits.isfinite().all()
    assert model.config._attn_implementation == "flash_attention_2"
