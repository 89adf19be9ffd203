"""What a config.json says of keys and values, before any weights."""

from kvdistill.kv_modules import FUSED, LATENT, NONE, SEPARATE, UNKNOWN, name_kv_modules


def test_one_projection_of_queries_keys_and_values_is_named():
    modules = name_kv_modules({"model_type": "phi3", "num_attention_heads": 32})
    assert (modules.kind, modules.names, modules.refusal) == (FUSED, ("qkv_proj",), "")
    assert name_kv_modules({"model_type": "gpt2", "n_head": 12}).names == ("c_attn",)


def test_a_latent_is_refused_whatever_the_family():
    modules = name_kv_modules(
        {"model_type": "deepseek_v9", "num_attention_heads": 128, "kv_lora_rank": 512}
    )
    assert modules.kind == LATENT
    assert modules.refusal.endswith("K and V by head (MLA, kv_lora_rank=512)")


def test_a_recurrence_is_refused():
    modules = name_kv_modules({"model_type": "mamba", "state_size": 16})
    assert (modules.kind, modules.refusal) == (NONE, "is a mamba without attention")


def test_layers_that_keep_nothing_are_listed():
    config = {
        "model_type": "lfm2",
        "num_attention_heads": 4,
        "layer_types": ["conv", "full_attention", "conv"],
    }
    assert name_kv_modules(config).layers_without == (0, 2)


def test_of_a_multimodal_model_the_text_part_is_read():
    config = {
        "model_type": "gemma3",
        "text_config": {"model_type": "gemma3_text", "num_attention_heads": 8},
    }
    assert name_kv_modules(config).kind == SEPARATE


def test_of_a_family_that_is_not_stated_nothing_is_claimed():
    modules = name_kv_modules({"model_type": "new", "num_attention_heads": 8})
    assert (modules.kind, modules.names, modules.refusal) == (UNKNOWN, (), "")
