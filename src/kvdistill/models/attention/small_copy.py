"""A small random model of an architecture, from a transformers config alone.

Where K and V are, and how keys turn, depends on the architecture and not on the weights or widths,
so a copy of a few heads and a narrow MLP answers before any weights are read.
"""

import copy
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from kvdistill.models.attention.trace import TraceError
from kvdistill.models.geometry import MLP_SIZES, keep_config_layers, read_kv_heads

VOCABULARY = 32
MLP_WIDTH = 16
EXPERTS = 4
MLP_WIDTHS = (*MLP_SIZES, "moe_intermediate_size", "shared_expert_intermediate_size")
EXPERT_COUNTS = ("num_experts", "n_routed_experts", "num_local_experts")
CHOSEN_COUNTS = ("num_experts_per_tok", "n_group", "topk_group")
"""Of experts and their groups, a token."""
HIDDEN_WIDTHS = ("hidden_size", "word_embed_proj_dim")
"""What is as wide as all query heads together, where a config has no width of heads."""
STD = 0.3
"""Of every weight: norms and biases are born constant, and would not be seen."""


def build_small_copy(config: Any, layers: int) -> PreTrainedModel:
    """The lower `layers` layers with two KV heads, or one, and a small MLP and vocabulary.

    Layers, head width, rotary embedding and the kind of every layer are the config's own. Its
    weights are the same at every call. Raises TraceError for an architecture that transformers
    does not build so.
    """
    config = shrink_config(config, layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        except Exception as error:  # whatever a model's own code raises
            raise TraceError(
                f"{type(config).__name__} builds no small model ({type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]})."
            ) from error
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=STD)
    return model.eval()


def shrink_config(config: Any, layers: int) -> Any:
    """A copy of a config (of its text part) with few heads and narrow in all but its heads."""
    config = copy.deepcopy(config.get_text_config())
    keep_config_layers(config, range(layers))
    config.__dict__.pop("quantization_config", None)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(config, name, None)
    _shrink_heads(config)
    widths = dict.fromkeys(MLP_WIDTHS, MLP_WIDTH)
    counts = dict.fromkeys(EXPERT_COUNTS, EXPERTS) | dict.fromkeys(CHOSEN_COUNTS, 1)
    for name, value in (widths | counts).items():
        if isinstance(getattr(config, name, None), int):
            setattr(config, name, value)
    config.vocab_size = VOCABULARY
    return config


def _shrink_heads(config: Any) -> None:
    """Two KV heads of as many query heads as there are, up to two; the width that they make.

    Four where each query head has its own, since CodeGen lays its heads out in four parts.
    """
    heads = getattr(config, "num_attention_heads", None)
    if not isinstance(heads, int):
        return  # no attention, or other heads in every layer: left as it is
    kv_heads = read_kv_heads(config)
    dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    new_kv_heads = min(kv_heads, 4 if kv_heads == heads else 2)
    new_heads = new_kv_heads * min(heads // kv_heads, 2)
    wide = config.hidden_size
    for name, value in (
        ("num_key_value_heads", new_kv_heads),
        ("num_kv_heads", new_kv_heads if new_kv_heads > 1 else new_heads),
        ("num_attention_heads", new_heads),
    ):
        if isinstance(getattr(config, name, None), int):
            setattr(config, name, value)
    for name in HIDDEN_WIDTHS:
        if getattr(config, name, None) == wide:
            setattr(config, name, new_heads * dim)
