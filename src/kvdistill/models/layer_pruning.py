"""Layer pruning: a student is some layers of a larger model, nothing else changed."""

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.geometry import keep_config_layers
from kvdistill.models.pretrained import Pretrained

LAYER_PARAMETER = re.compile(r"^(.*\blayers\.)(\d+)(\..*)$")


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """Keeps the named layers of a pretrained model, in order, and renumbers them."""

    source: Pretrained
    keep: list[int]
    """Numbers of the source's layers, in order."""

    def build(
        self,
        geometry: Geometry,
        split: Path | None,
        out: Path,
        progress: Callable[[int, int], None],
    ) -> None:
        """Writes the pruned model and its tokenizer as a Hugging Face folder.

        `geometry` and `split` are what every recipe is given; neither is read. Raises ConfigError
        for a layer that the source does not have.
        """
        model = self.source.load_model(torch.float32)
        count = model.config.num_hidden_layers
        if not self.keep or not all(0 <= index < count for index in self.keep):
            raise ConfigError(
                f"student.build.keep={self.keep} must name layers 0 to {count - 1} of the source. "
                f"Drop what lies outside."
            )
        config = copy.deepcopy(model.config)
        keep_config_layers(config, self.keep)
        # Weights read from GGUF are plain numbers by now, but their config still says quantised.
        config.__dict__.pop("quantization_config", None)
        student = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        # Attention reads its number to find its place in a cache, so layers are renumbered by name
        # in a new model rather than taken out of the old one.
        student.load_state_dict(self.renumber_layers(model.state_dict()))
        student.save_pretrained(out)
        self.source.load_tokenizer().save_pretrained(out)
        progress(1, 1)

    def renumber_layers(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The kept layers' weights under their new numbers, and everything outside the layers."""
        new_numbers = {index: new_number for new_number, index in enumerate(self.keep)}
        kept = {}
        for name, value in state.items():
            match = LAYER_PARAMETER.match(name)
            if match is None:
                kept[name] = value
            elif int(match[2]) in new_numbers:
                kept[f"{match[1]}{new_numbers[int(match[2])]}{match[3]}"] = value
        return kept


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Keeps the named layers of a teacher that the project trains itself.

    The teacher is trained again here, to the same bits as in its own folder.
    """

    parent: Mapping[str, Any]
    """The teacher's config node, its `build` already an object."""
    keep: list[int]
    """Numbers of the parent's layers, in order."""

    def build(
        self,
        geometry: Geometry,
        split: Path,
        out: Path,
        progress: Callable[[int, int], None],
    ) -> None:
        """Writes the pruned model and its parent's tokenizer as a Hugging Face folder.

        Raises ConfigError for a layer that the parent does not have.
        """
        with TemporaryDirectory() as parent_folder:
            self.parent["build"].build(
                Geometry.from_node(self.parent), split, Path(parent_folder), progress
            )
            Pruned(source=Pretrained(path=parent_folder), keep=self.keep).build(
                geometry, split, out, lambda *_: None
            )
