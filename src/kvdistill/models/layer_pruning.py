"""Layer pruning: a student is some layers of a larger model, nothing else changed."""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.decoder import find_layer_list
from kvdistill.models.geometry import keep_config_layers
from kvdistill.models.model_folder import write_model_folder
from kvdistill.models.pretrained import Pretrained

BY_NUMBER = ("scale_attn_by_inverse_layer_idx",)
"""Settings under which a layer computes by its number, so that it cannot be moved."""


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
        config = select_config_layers(model.config, self.keep)
        student = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, trust_remote_code=self.source.trust_remote_code
        )
        # Attention reads its number to find its place in a cache, so layers are renumbered by name
        # in a new model rather than taken out of the old one.
        state = renumber_layers(model.state_dict(), find_layer_list(model), self.keep)
        check_kept_state(self.keep, state, student.state_dict())
        student.load_state_dict(state)
        write_model_folder(student, self.source.load_tokenizer(), out)
        progress(1, 1)

    def read_config(self, geometry: Geometry) -> Any | None:
        """The student's transformers config where its source's lies at hand; else None.

        Raises ConfigError for layers that cannot be kept so.
        """
        if (config := self.source.read_config(geometry)) is None:
            return None
        kept = select_config_layers(config, self.keep)
        with torch.device("meta"):
            source, student = (
                AutoModelForCausalLM.from_config(
                    each, trust_remote_code=self.source.trust_remote_code
                )
                for each in (config, kept)
            )
        state = renumber_layers(source.state_dict(), find_layer_list(source), self.keep)
        check_kept_state(self.keep, state, student.state_dict())
        return kept


def check_kept_state(
    keep: Sequence[int], kept: Mapping[str, Tensor], built: Mapping[str, Tensor]
) -> None:
    """Compares the kept layers' weights with those of the model that their config builds.

    Raises ConfigError where layers differ by their number in a way that the config cannot say.
    """
    for name in sorted(kept.keys() | built.keys()):
        shapes = [state[name].shape if name in state else None for state in (kept, built)]
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f"student.build.keep={keep}: {name} is {_format_shape(shapes[0])} in the kept "
                f"layers and {_format_shape(shapes[1])} where their config puts them, since the "
                f"source's layers differ by their number. Keep layers of one kind in their places."
            )


def select_config_layers(config: Any, keep: Sequence[int]) -> Any:
    """The transformers config of these layers, from that of the whole model.

    Raises ConfigError for a layer that the model does not have or that cannot be moved.
    """
    count = config.get_text_config().num_hidden_layers
    if not keep or not all(0 <= index < count for index in keep):
        raise ConfigError(
            f"student.build.keep={keep} must name layers 0 to {count - 1} of the source. "
            f"Drop what lies outside."
        )
    for name in BY_NUMBER:
        if getattr(config, name, False):
            raise ConfigError(
                f"student.build.keep={keep}: a layer of the source computes by its number "
                f"({name}), so it is another one elsewhere. Use another source."
            )
    config = copy.deepcopy(config)
    keep_config_layers(config, keep)
    return config


def renumber_layers(
    state: Mapping[str, Tensor], layer_list: str, keep: Sequence[int]
) -> dict[str, Tensor]:
    """The kept layers' weights under their new numbers, and everything outside the layers.

    `layer_list` is what the model calls its list of layers: model.layers, transformer.h.
    """
    pattern = re.compile(rf"{re.escape(layer_list)}\.(\d+)\.(.*)")
    kept = {}
    for name, value in state.items():
        if (match := pattern.fullmatch(name)) is None:
            kept[name] = value
        elif int(match[1]) in keep:
            kept[f"{layer_list}.{keep.index(int(match[1]))}.{match[2]}"] = value
    return kept


def _format_shape(shape: torch.Size | None) -> str:
    return "absent" if shape is None else "x".join(map(str, shape)) or "a number"


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Keeps the named layers of a teacher that the project trains itself.

    The teacher is trained again here, to the same bits as in its own folder.
    """

    parent: Mapping[str, Any]
    """The teacher's config node, its `build` already an object."""
    keep: list[int]
    """Numbers of the parent's layers, in order."""

    def read_config(self, geometry: Geometry) -> Any | None:
        """The student's transformers config, as `Pruned.read_config` gives it."""
        parent = Geometry.from_node(self.parent)
        if (config := self.parent["build"].read_config(parent)) is None:
            return None
        return select_config_layers(config, self.keep)

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
