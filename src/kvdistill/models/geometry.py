"""The shape of a model, read from its transformers config and compared with its YAML.

The plan costs a study from the YAML alone, without torch; this is where a wrong YAML is caught.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry


def read_geometry(config: Any) -> Geometry:
    """The geometry of a transformers config; of its text part if it has several."""
    config = config.get_text_config()
    heads = config.num_attention_heads
    return Geometry(
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        heads=heads,
        # Configs from before grouped-query attention have no number of KV heads, and some
        # configs state none of head_dim: transformers' modules then compute it like this.
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocab_size=config.vocab_size,
        tied_embeddings=bool(config.tie_word_embeddings),
    )


def keep_config_layers(config: Any, kept: Sequence[int]) -> None:
    """Makes a transformers config, in place, that of a model of these of its layers, in order."""
    config = config.get_text_config()
    config.num_hidden_layers = len(kept)
    # Full or sliding attention, layer by layer.
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[index] for index in kept]


def verify_geometry(stated: Geometry, config: Any, setting: str) -> None:
    """Compares what a YAML states with a model's transformers config.

    Raises ConfigError naming each field of `setting` (a config path) that differs.
    """
    actual = read_geometry(config)
    mismatches = [
        f"{setting}.{field.name} is {getattr(stated, field.name)!r} but the model has "
        f"{getattr(actual, field.name)!r}"
        for field in fields(Geometry)
        if getattr(stated, field.name) != getattr(actual, field.name)
    ]
    if mismatches:
        raise ConfigError(f"{'; '.join(mismatches)}. Correct the YAML or point to the right model.")
