"""A student cut from a larger model: some of its layers, nothing else changed."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """Keeps the named layers of a pretrained model, in order, and renumbers them."""

    source: Pretrained
    keep: list[int]

    def build(
        self,
        geometry: Geometry,
        split: Path | None,
        out: Path,
        progress: Callable[[int, int], None],
    ) -> None:
        """Writes the pruned model and its tokenizer as a Hugging Face folder."""
        model = self.source.model(torch.float32)
        layers = model.model.layers
        if not all(0 <= index < len(layers) for index in self.keep):
            raise ConfigError(
                f"student.build.keep={self.keep} must name layers 0 to {len(layers) - 1} "
                f"of the source. Drop what lies outside."
            )
        kept = nn.ModuleList(layers[index] for index in self.keep)
        for index, layer in enumerate(kept):
            layer.get_submodule("self_attn").layer_idx = index  # type: ignore[assignment]
        model.model.layers = kept
        model.config = copy.deepcopy(model.config)
        model.config.num_hidden_layers = len(kept)
        if getattr(model.config, "layer_types", None):
            model.config.layer_types = [model.config.layer_types[index] for index in self.keep]
        model.save_pretrained(out)
        self.source.tokenizer().save_pretrained(out)
        progress(1, 1)
