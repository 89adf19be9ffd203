"""The shape of a model, read from its transformers config and compared with its YAML.

The plan costs a study from the YAML alone, without torch; this is where a wrong YAML is caught.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry, list_mismatches

MLP_SIZES = ("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner")
"""What transformers calls the width of an MLP."""
LAYER_NUMBERS = ("mlp_only_layers", "moe_layers")
"""Settings that list layers by number."""
FIRST_LAYERS = ("first_k_dense_replace",)
"""Settings that count layers from the first."""


def read_geometry(config: Any) -> dict[str, int | bool]:
    """The fields of `Geometry` that a transformers config states; of its text part if it has parts.

    A model without attention states no heads, which are then left out.
    """
    config = config.get_text_config()
    sizes = {
        "layers": getattr(config, "num_hidden_layers", None),
        "hidden_size": getattr(config, "hidden_size", None),
        "intermediate_size": _read_mlp_size(config),
        "vocab_size": getattr(config, "vocab_size", None),
        "tied_embeddings": bool(config.tie_word_embeddings),
    }
    if heads := getattr(config, "num_attention_heads", None):
        sizes["heads"] = heads
        sizes["kv_heads"] = read_kv_heads(config)
        # Some configs state no head_dim: transformers' modules then compute it like this.
        sizes["head_dim"] = getattr(config, "head_dim", None) or config.hidden_size // heads
    return {name: value for name, value in sizes.items() if value is not None}


def make_config_sizes(geometry: Geometry) -> dict[str, Any]:
    """The arguments of a transformers config, as Llama and its kin name them, for this shape."""
    return {
        "vocab_size": geometry.vocab_size,
        "hidden_size": geometry.hidden_size,
        "intermediate_size": geometry.intermediate_size,
        "num_hidden_layers": geometry.layers,
        "num_attention_heads": geometry.heads,
        "num_key_value_heads": geometry.kv_heads,
        "head_dim": geometry.head_dim,
        "tie_word_embeddings": geometry.tied_embeddings,
    }


def read_kv_heads(config: Any) -> int:
    """How many KV heads a transformers config states; as many as query heads where it states none.

    Configs from before grouped-query attention have no number of them; Falcon's and StarCoder's
    say in a flag of their own whether one serves all query heads.
    """
    heads = getattr(config, "num_key_value_heads", None)
    if heads is None and getattr(config, "multi_query", False):
        # Falcon's newer form ignores the flag and counts its heads.
        grouped = getattr(config, "new_decoder_architecture", False)
        heads = config.num_kv_heads if grouped else 1
    return int(heads or config.num_attention_heads)


def keep_config_layers(config: Any, kept: Sequence[int]) -> None:
    """Makes a transformers config, in place, that of a model of these of its layers, in order."""
    config = config.get_text_config()
    count = config.num_hidden_layers
    config.num_hidden_layers = len(kept)
    for name, value in list(vars(config).items()):
        if name in LAYER_NUMBERS and value:
            setattr(config, name, [new for new, old in enumerate(kept) if old in value])
        elif name in FIRST_LAYERS and value:
            setattr(config, name, sum(old < value for old in kept))
        # What differs from layer to layer: full or sliding attention, a rotary embedding or none.
        elif "layer" in name and isinstance(value, list) and len(value) == count:
            setattr(config, name, [value[old] for old in kept])


def _read_mlp_size(config: Any) -> int | None:
    stated = next((getattr(config, name) for name in MLP_SIZES if hasattr(config, name)), None)
    if isinstance(stated, list):
        return None  # one a layer (Gemma 3n): no single width to compare
    # GPT-2 states none, and its MLP is then four times as wide as the model.
    return stated or (4 * config.hidden_size if hasattr(config, "n_inner") else None)


def verify_geometry(stated: Geometry, config: Any, setting: str) -> None:
    """Compares what a YAML states with a model's transformers config.

    A field that the config does not state is not compared. Raises ConfigError naming each field
    of `setting` (a config path) that differs.
    """
    if mismatches := list_mismatches(asdict(stated), read_geometry(config), setting):
        raise ConfigError(f"{'; '.join(mismatches)}. Correct the YAML or point to the right model.")
