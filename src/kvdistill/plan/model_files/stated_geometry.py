"""The shape that a model's own file states: a config.json as it was written, or a GGUF header.

What transformers fills in for a field that a config.json leaves out depends on the model's class,
which no plan imports: such a field is not stated. `models/geometry.py` reads it from the class.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvdistill.errors import ConfigError
from kvdistill.plan.model_files.gguf_header import GgufHeader, read_header

CONFIG_KEYS = {
    "layers": ("num_hidden_layers", "n_layer"),
    "hidden_size": ("hidden_size", "n_embd"),
    "intermediate_size": ("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner"),
    "heads": ("num_attention_heads", "n_head"),
    "kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim",),
    "vocab_size": ("vocab_size",),
    "tied_embeddings": ("tie_word_embeddings",),
}
"""Field of `Geometry` -> what config.json files call it."""
OUTPUT_MATRIX = "output.weight"
"""The tensor that a GGUF file lacks where embedding and head are one matrix."""


def read_stated_geometry(path: Path) -> dict[str, Any]:
    """The fields of `Geometry` that a config.json or a GGUF file states.

    Raises:
        ConfigError: for a file that is neither.
    """
    if path.suffix == ".json":
        return read_config_geometry(read_config_file(path))
    return read_header_geometry(read_header(path))


def read_model_settings(path: Path) -> dict[str, Any]:
    """What a file says of a model as a config.json would say it; of a GGUF file what it has of it.

    Raises:
        ConfigError: for a file that is neither.
    """
    if path.suffix == ".json":
        return read_config_file(path)
    header = read_header(path)
    rank = header.get_value("attention.kv_lora_rank")
    return {"model_type": header.architecture, "kv_lora_rank": rank}


def read_config_file(path: Path) -> dict[str, Any]:
    """A config.json as it stands. Raises ConfigError for what is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Write it anew.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings of a model. Write it anew.")
    return content


def read_config_geometry(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of a model with several parts the text part's."""
    for part in ("text_config", "llm_config"):
        if isinstance(config.get(part), Mapping):
            config = config[part]
    stated = {
        field: next(values, None)
        for field, keys in CONFIG_KEYS.items()
        for values in [(config[key] for key in keys if is_size(config.get(key)))]
    }
    return {field: value for field, value in stated.items() if value is not None}


def is_size(value: Any) -> bool:
    """Whether it is one number, or a yes or no: no list of one a layer, and no null."""
    return isinstance(value, int)


def derive_head_dim(geometry: Mapping[str, Any]) -> dict[str, Any]:
    """The geometry with the width of heads that most classes compute where none is stated.

    A class that has another is found when the model's config is built, before it is trained.
    """
    if "head_dim" in geometry or not {"hidden_size", "heads"} <= set(geometry):
        return dict(geometry)
    return {**geometry, "head_dim": geometry["hidden_size"] // geometry["heads"]}


def read_header_geometry(header: GgufHeader) -> dict[str, Any]:
    """As the format defines what is left out: as many KV heads as heads, and their width."""
    heads, width = header.get_value("attention.head_count"), header.get_value("embedding_length")
    geometry = {
        "layers": header.get_value("block_count"),
        "hidden_size": width,
        "intermediate_size": header.get_value("feed_forward_length"),
        "heads": heads,
        "kv_heads": header.get_value("attention.head_count_kv", heads),
        "head_dim": header.get_value("attention.key_length"),
        "vocab_size": header.get_value("vocab_size", header.metadata.get("tokenizer.ggml.tokens")),
        "tied_embeddings": OUTPUT_MATRIX not in header.tensors,
    }
    return derive_head_dim({name: value for name, value in geometry.items() if is_size(value)})
