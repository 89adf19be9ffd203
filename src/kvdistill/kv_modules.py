"""Which modules give a model's keys and values, as far as its config.json says it. No torch.

A first answer, for who has no weights yet: a plan, or a model that is looked at before it is used.
What is captured is proven on the model itself (models/attention/sources.py), and
tests/house/test_families.py holds these tables against that proof.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SEPARATE, FUSED, LATENT, NONE, UNKNOWN = "separate", "fused", "latent", "none", "unknown"
FUSED_PROJECTIONS = {
    "baichuan": "W_pack",
    "bloom": "query_key_value",
    "codegen": "qkv_proj",
    "dbrx": "Wqkv",
    "falcon": "query_key_value",
    "gpt2": "c_attn",
    "gpt_bigcode": "c_attn",
    "gpt_neox": "query_key_value",
    "gpt_neox_japanese": "query_key_value",
    "gptneox": "query_key_value",  # as GGUF spells it
    "jetmoe": "kv_proj",
    "mpt": "Wqkv",
    "persimmon": "query_key_value",
    "phi3": "qkv_proj",
}
"""model_type -> the one projection whose output holds keys and values (and mostly queries)."""
SEPARATE_TYPES = frozenset({
    "cohere", "cohere2", "exaone4", "gemma", "gemma2", "gemma3", "gemma3_text", "glm", "glm4",
    "gpt_neo", "gpt_oss", "gptj", "granite", "lfm2", "llama", "llama4_text", "minimax", "mistral",
    "mixtral", "olmo", "olmo2", "olmo3", "olmoe", "opt", "phi", "qwen2", "qwen2_moe", "qwen3",
    "qwen3_moe", "qwen3_next", "qwen3_5_text", "smollm3", "stablelm", "starcoder2",
})  # fmt: skip
"""model_type of families with a k_proj and a v_proj."""
NORMED_BEHIND_ROTARY = {
    "hunyuan_v1_dense": "key_layernorm",
    "hunyuan_v1_moe": "key_layernorm",
}
"""model_type -> the norm that stands between the rotary embedding and the cache."""
WITHOUT_ATTENTION = frozenset({"falcon_mamba", "mamba", "mamba2", "rwkv", "rwkv6", "xlstm"})
"""model_type of recurrences."""
WITHOUT_CACHE = ("linear_attention", "conv", "mamba", "recurrent")
"""Kinds of layers, in `layer_types`, that keep no keys and values."""


@dataclass(frozen=True)
class KVModules:
    """Where keys and values leave a model, by its config.json."""

    kind: str
    """separate: a projection each; fused: one for both; latent: MLA; none: no attention; unknown:
    a family of which nothing is stated here, to be proven on its weights."""
    names: tuple[str, ...]
    """Of the projections, as adapter.targets names them; empty where they are not known."""
    refusal: str = ""
    """Why no layer's keys and values can be captured; empty where some can, or might."""
    layers_without: tuple[int, ...] = ()
    """Layers that keep none, to be left out of layers.range."""


def name_kv_modules(config: Mapping[str, Any]) -> KVModules:
    """What a config.json (or of a multimodal model its text part) says of keys and values.

    Of a GGUF file the header's architecture stands for `model_type`.
    """
    text: Mapping[str, Any] = config.get("text_config") or config
    kind: str = text.get("model_type") or config.get("model_type") or ""
    if (rank := text.get("kv_lora_rank")) is not None:
        reason = f"keeps a latent in place of K and V by head (MLA, kv_lora_rank={rank})"
        return KVModules(LATENT, (), reason)
    if kind in WITHOUT_ATTENTION:
        return KVModules(NONE, (), f"is a {kind} without attention")
    without = tuple(
        number for number, layer in enumerate(text.get("layer_types") or ())
        if layer in WITHOUT_CACHE
    )  # fmt: skip
    if (norm := NORMED_BEHIND_ROTARY.get(kind)) is not None:
        reason = f"passes its keys through {norm} behind the rotary embedding"
        return KVModules(SEPARATE, ("k_proj", "v_proj"), reason, without)
    if (name := FUSED_PROJECTIONS.get(kind)) is not None:
        return KVModules(FUSED, (name,), layers_without=without)
    if kind in SEPARATE_TYPES:
        return KVModules(SEPARATE, ("k_proj", "v_proj"), layers_without=without)
    return KVModules(UNKNOWN, (), layers_without=without)
