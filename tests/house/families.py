"""The table of docs/architectures.md, made from tiny random models of many families.

`python -m tests.house.families` writes it anew, between the page's two marks. Nothing in it is
looked up: each cell is what happens when a model of that family is built, captured, cut, trained
and pruned.
"""

import copy
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM

from kvdistill.errors import ConfigError
from kvdistill.kv_modules import UNKNOWN, name_kv_modules
from kvdistill.models.attention.sources import LayerSources, locate_any_sources
from kvdistill.models.capture import Capture
from kvdistill.models.check_capture import CaptureRequest, check_capture
from kvdistill.models.decoder import find_layer_list, truncate_decoder
from kvdistill.models.head import LMHead
from kvdistill.models.layer_pruning import (
    check_kept_state,
    renumber_layers,
    select_config_layers,
)
from kvdistill.models.lora import Lora
from kvdistill.types import Tokens

PAGE = Path(__file__).parents[2] / "docs" / "architectures.md"
BEGIN, END = "<!-- families -->\n", "<!-- end of families -->\n"
HEADER = (
    "family", "K, V and Q are read at", "student, teacher", "keys turned", "sft", "layers kept",
    "`adapter.targets` of K and V",
)  # fmt: skip
IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
ALL = IDS | {"vocab_size": 50, "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4}
MHA = ALL | {"intermediate_size": 48}
GQA = MHA | {"num_key_value_heads": 2}
OLD = IDS | {"vocab_size": 50, "n_layer": 2, "n_embd": 32, "n_head": 4}
FALCON = {name: value for name, value in ALL.items() if name != "pad_token_id"}
MIXED = {"layer_types": ["sliding_attention", "full_attention"]}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
MLA = MHA | {
    "num_key_value_heads": 4, "first_k_dense_replace": 1, "q_lora_rank": 16, "kv_lora_rank": 16,
    "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 4,
    "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
}  # fmt: skip
LINEAR = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "layer_types": ["linear_attention", "full_attention"],
    "shared_expert_intermediate_size": 8,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0, 1.5, 2.0, 2.5],
    "long_factor": [2.0] * 4, "factor": 2.0,
}  # fmt: skip
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("LlamaConfig", GQA),
    "Qwen 2": ("Qwen2Config", GQA),
    "Qwen 3": ("Qwen3Config", GQA | {"head_dim": 16}),
    "Qwen 3 MoE": ("Qwen3MoeConfig", GQA | {"head_dim": 16} | EXPERTS),
    "Qwen 3 Next": ("Qwen3NextConfig", GQA | {"head_dim": 8} | EXPERTS | LINEAR),
    "Gemma 2": ("Gemma2Config", GQA | {"head_dim": 16} | MIXED),
    "Gemma 3": ("Gemma3TextConfig", GQA | {"head_dim": 16} | MIXED),
    "Mistral": ("MistralConfig", GQA),
    "Mixtral": ("MixtralConfig", GQA | {"num_local_experts": 2}),
    "Phi-3": ("Phi3Config", GQA),
    "Phi-3, longrope": (
        "Phi3Config",
        GQA | {"original_max_position_embeddings": 32, "rope_parameters": LONGROPE},
    ),
    "Phi": ("PhiConfig", GQA),
    "Phi, q and k normed": ("PhiConfig", GQA | {"qk_layernorm": True}),
    "StableLM": ("StableLmConfig", GQA),
    "StableLM, q and k normed": ("StableLmConfig", GQA | {"qk_layernorm": True}),
    "OLMo, clipped": ("OlmoConfig", GQA | {"clip_qkv": 1.0}),
    "OLMo 2": ("Olmo2Config", GQA),
    "OLMo 3": ("Olmo3Config", GQA),
    "Granite": ("GraniteConfig", GQA),
    "SmolLM3": ("SmolLM3Config", GQA | {"no_rope_layers": [1, 0]}),
    "EXAONE 4": ("Exaone4Config", GQA | {"head_dim": 8, "sliding_window": 8} | MIXED),
    "gpt-oss": (
        "GptOssConfig",
        GQA | {"head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1},
    ),
    "GPT-NeoX": ("GPTNeoXConfig", MHA),
    "Falcon": ("FalconConfig", FALCON),
    "Falcon, grouped": (
        "FalconConfig",
        FALCON | {"num_kv_heads": 2, "new_decoder_architecture": True},
    ),
    "Falcon, ALiBi": ("FalconConfig", FALCON | {"alibi": True}),
    "MPT": (
        "MptConfig",
        IDS | {"vocab_size": 50, "n_layers": 2, "d_model": 32, "n_heads": 4, "max_seq_len": 32,
               "attn_config": {"clip_qkv": 1.0}},
    ),
    "DBRX": (
        "DbrxConfig",
        IDS | {"vocab_size": 50, "n_layers": 2, "d_model": 32, "n_heads": 4, "max_seq_len": 32,
               "attn_config": {"kv_n_heads": 2, "clip_qkv": 1.0, "rope_theta": 1e4},
               "ffn_config": {"ffn_hidden_size": 16, "moe_num_experts": 2, "moe_top_k": 1}},
    ),
    "Persimmon": ("PersimmonConfig", MHA),
    "JetMoE": (
        "JetMoeConfig",
        IDS | {"vocab_size": 50, "num_hidden_layers": 2, "hidden_size": 32, "kv_channels": 8,
               "num_key_value_heads": 2, "intermediate_size": 48, "num_local_experts": 2,
               "num_experts_per_tok": 1},
    ),
    "MiniMax": (
        "MiniMaxConfig",
        GQA | {"num_local_experts": 2, "num_experts_per_tok": 1,
               "layer_types": ["linear_attention", "full_attention"]},
    ),
    "LFM2": ("Lfm2Config", GQA | {"layer_types": ["conv", "full_attention"]}),
    "GLM 4": ("Glm4Config", GQA | {"head_dim": 8}),
    "Cohere 2": ("Cohere2Config", GQA | MIXED),
    "GPT-2": ("GPT2Config", OLD),
    "StarCoder": ("GPTBigCodeConfig", OLD | {"multi_query": True}),
    "StarCoder, a KV head a query head": ("GPTBigCodeConfig", OLD | {"multi_query": False}),
    "OPT": (
        "OPTConfig",
        ALL | {"ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 32},
    ),
    "BLOOM": ("BloomConfig", OLD | {"hidden_size": 32}),
    "HunYuan": ("HunYuanDenseV1Config", GQA | {"head_dim": 8}),
    "Llama 4": (
        "Llama4TextConfig",
        GQA | {"intermediate_size_mlp": 48, "num_local_experts": 2, "head_dim": 8,
               "no_rope_layers": [1, 0]},
    ),
    "GPT-J": ("GPTJConfig", OLD | {"rotary_dim": 4}),
    "CodeGen": ("CodeGenConfig", OLD | {"rotary_dim": 4}),
    "DeepSeek V3": ("DeepseekV3Config", MLA),
    "Mamba": (
        "MambaConfig",
        IDS | {"vocab_size": 50, "num_hidden_layers": 2, "hidden_size": 32, "state_size": 4},
    ),
}  # fmt: skip
"""Name -> class of its transformers config, and what makes it tiny; two layers each."""


REFUSAL = re.compile(r"\{(.+?)\}")
"""A refusal in a cell, until `draw_table` numbers it."""


def build_config(name: str) -> Any:
    """A family's tiny config."""
    kind, settings = FAMILIES[name]
    return getattr(transformers, kind)(**copy.deepcopy(settings))


def build_model(config: Any) -> Any:
    """A random model, the same every time, with no weight as it was born."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def make_tokens() -> Tokens:
    """Two texts of unlike length."""
    ids = torch.randint(3, 50, (2, 6), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[0, -2:] = False
    return Tokens(ids, mask, mask)


def examine_family(name: str) -> list[str]:
    """The cells of a family's row, each refusal in braces."""
    config = build_config(name)
    model = build_model(config)
    sources = locate_any_sources(model)
    layers = list(sources)
    check_stated_modules(config, sources)
    refused = [
        read_refusal(config, CaptureRequest("teachers.a", [layer]))
        for layer in range(2)
        if layer not in layers
    ]
    # Each on a copy of its own: capturing hooks a model, and training leaves gradients in it.
    if layers:
        check_teacher(copy.deepcopy(model), copy.deepcopy(model), layers)
        check_student(copy.deepcopy(model), sources)
    check_fine_tuning(copy.deepcopy(model))
    check_pruning(model)
    return [
        name,
        list_modules(sources) or "-",
        join_words(["yes" for _ in layers] + refused),
        describe_rotation(config, sources) if layers else "-",
        "yes",
        "yes",
        describe_targets(config, sources) if layers else "-",
    ]


def check_stated_modules(config: Any, sources: dict[int, LayerSources]) -> None:
    """Whether the projections that a config.json is said to have are those that were proven."""
    stated = name_kv_modules(config.to_dict())
    names = {
        part.projection_name.rpartition(".")[2]
        for each in sources.values()
        for part in (each.keys, each.values)
    }
    assert stated.kind != UNKNOWN
    assert bool(stated.refusal) == (not sources)
    assert not sources or set(stated.names) == names
    assert not set(stated.layers_without) & set(sources)


def read_refusal(config: Any, request: CaptureRequest) -> str:
    """The line with which a plan refuses the request, of any layer and model, in braces."""
    try:
        check_capture(config, request)
    except ConfigError as error:
        line = re.sub(r"layer \d+ of \w+", "layer N of MODEL", str(error))
        return f"{{{re.sub(r'is a [a-z]+ without', 'is a KIND without', line)}}}"
    raise AssertionError(f"{request} is not refused")


def join_words(words: list[str]) -> str:
    """Each once."""
    return "; ".join(dict.fromkeys(words))


def list_modules(sources: dict[int, LayerSources]) -> str:
    """What a family calls the modules that are read, each once."""
    parts = [s for each in sources.values() for s in (each.keys, each.values, each.queries) if s]
    return ", ".join(dict.fromkeys(f"`{part.name.rpartition('.')[2]}`" for part in parts))


def check_teacher(model: Any, below: Any, layers: list[int]) -> None:
    """Whether a body that ends at the deepest layer gives the K and V of the whole model."""
    body, tokens = truncate_decoder(below, max(layers)), make_tokens()
    captures = Capture(model, layers), Capture(body, layers)
    inputs = {"input_ids": tokens.ids, "attention_mask": tokens.mask.long(), "use_cache": False}
    with torch.no_grad(), captures[0], captures[1]:
        model(**inputs)
        body(**inputs)
    whole, ours = (capture.pop_layers(tokens) for capture in captures)
    for layer in layers:
        torch.testing.assert_close(ours[layer].kv.keys, whole[layer].kv.keys)
        torch.testing.assert_close(ours[layer].kv.values, whole[layer].kv.values)


def check_student(model: Any, sources: dict[int, LayerSources]) -> None:
    """Whether a loss on K and on V each reaches the weights that are said to make them."""
    tokens, capture = make_tokens(), Capture(model.train(), list(sources))
    capture.check_trained()
    with capture:
        model(input_ids=tokens.ids, attention_mask=tokens.mask.long(), use_cache=False)
    for layer, captured in capture.pop_layers(tokens).items():
        for part in ("keys", "values"):
            name = getattr(sources[layer], part).projection_name
            projection = model.get_submodule(f"{find_layer_list(model)}.{layer}.{name}")
            loss = getattr(captured.kv, part).square().sum()
            (gradient,) = torch.autograd.grad(loss, projection.weight, retain_graph=True)
            assert gradient.any(), (layer, part)


def check_fine_tuning(model: Any) -> None:
    """Whether plain fine-tuning scores answers as the whole forward does, and trains every part."""
    tokens = make_tokens()
    inputs = {"input_ids": tokens.ids, "attention_mask": tokens.mask.long()}
    with torch.no_grad():
        whole = model(**inputs, use_cache=False).logits[tokens.logit_mask]
    head = LMHead(model)
    model.train()
    logits = head(tokens, tokens.logit_mask)
    logits.float().logsumexp(dim=-1).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    with torch.no_grad():
        torch.testing.assert_close(
            LMHead(model.eval())(tokens, tokens.logit_mask), whole, atol=1e-4, rtol=1e-4
        )


def check_pruning(model: Any) -> None:
    """Whether a student of the upper layer alone is the model with its lower layer left out."""
    keep = [1]
    student = AutoModelForCausalLM.from_config(select_config_layers(model.config, keep)).eval()
    state = renumber_layers(model.state_dict(), find_layer_list(model), keep)
    check_kept_state(keep, state, student.state_dict())
    student.load_state_dict(state)
    dropped = model.get_submodule(find_layer_list(model))[0]

    def skip(_: Any, args: Any, kwargs: Any, output: Any) -> Any:
        hidden = args[0] if args else kwargs["hidden_states"]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    dropped.register_forward_hook(skip, with_kwargs=True)
    ids = make_tokens().ids
    with torch.no_grad():
        expected = model(input_ids=ids, use_cache=False).logits
        torch.testing.assert_close(student(input_ids=ids, use_cache=False).logits, expected)


def describe_rotation(config: Any, sources: dict[int, LayerSources]) -> str:
    """Whether position may turn keys, and compression may read attention."""
    words = []
    turned = [layer for layer in sources if not sources[layer].rotary.explain_refusal()]
    if turned:
        reads = all(sources[layer].queries for layer in turned)
        request = CaptureRequest("teachers.a", turned, needs_attention=reads, needs_rotary=True)
        check_capture(config, request)
        words.append("yes")
        if not reads:
            words.append(read_refusal(config, replace(request, needs_attention=True)))
    refused = {each.rotary.explain_refusal(): layer for layer, each in sources.items()}
    words += [
        read_refusal(config, CaptureRequest("teachers.a", [layer], needs_rotary=True))
        for layer in sorted(set(refused.values()) - set(turned))
    ]
    return "; ".join(words)


def describe_targets(config: Any, sources: dict[int, LayerSources]) -> str:
    """What adapter.targets must name so that LoRA trains K and V, tried."""
    parts = [part for each in sources.values() for part in (each.keys, each.values)]
    names = list(dict.fromkeys(part.projection_name.rpartition(".")[2] for part in parts))
    adapter = Lora(rank=2, alpha=4, dropout=0.0, targets=names)
    check_capture(config, CaptureRequest("student", list(sources)), adapter)
    return ", ".join(f"`{name}`" for name in names)


def draw_table() -> str:
    """The table and, below it, every line of a refusal by its number."""
    rows = [examine_family(name) for name in FAMILIES]
    refusals = list(dict.fromkeys(x for row in rows for cell in row for x in REFUSAL.findall(cell)))
    lines = [format_row(HEADER), format_row(["---"] * len(HEADER))]
    for row in rows:
        number = partial(REFUSAL.sub, lambda match: f"no [{refusals.index(match[1]) + 1}]")
        lines.append(format_row([number(cell) for cell in row]))
    numbered = [f"{at}. {line}" for at, line in enumerate(refusals, 1)]
    return "\n".join([*lines, "", "The refusals, by number:", "", *numbered, ""])


def format_row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def read_page() -> dict[str, list[str]]:
    """Family -> its cells as `examine_family` gives them, from the page."""
    text = PAGE.read_text("utf-8").split(BEGIN)[1].split(END)[0]
    refusals = dict(re.findall(r"^(\d+)\. (.+)$", text, re.MULTILINE))
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    expand = partial(re.compile(r"no \[(\d+)\]").sub, lambda match: f"{{{refusals[match[1]]}}}")
    return {row[0]: [expand(cell) for cell in row] for row in cells[2:]}


def write_page() -> None:
    """Puts the table where the page shows it."""
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}{draw_table()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_page()
    sys.stdout.write(f"{PAGE}\n")
