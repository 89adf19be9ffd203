"""Composes what a command asks for, each distinct arm once."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kvdistill.config.check_values import check_seed
from kvdistill.config.compose import Config, compose
from kvdistill.errors import ConfigError
from kvdistill.layers.from_config import check_layers
from kvdistill.plan.model_files.check_kv_modules import check_kv_modules
from kvdistill.plan.model_files.complete_geometry import complete_geometries, states_geometry
from kvdistill.plan.model_files.decide_dtypes import decide_dtypes
from kvdistill.plan.pin import Pins

ASK_NO_NETWORK = {"plan", "doctor", "smoke"}
"""Stages that only name what they could not resolve; of these smoke alone computes, and it refuses
what has no commit where it would read it."""


class Composer:
    """Composes each distinct arm once and binds the seeds afterwards."""

    def __init__(self) -> None:
        self.done: dict[tuple[str, ...], Config] = {}
        self.pins = Pins()

    def __call__(self, overrides: Sequence[str], seed: Any) -> Config:
        """The pinned config with this seed (None: the config's own)."""
        key = tuple(overrides)
        if key not in self.done:
            composed = compose(overrides)
            models = [composed["student"], *composed["teachers"].values()]
            if all(states_geometry(model) for model in models):
                check_layers(composed)  # before files are hashed and the hub is asked
            self.pins.strict = composed["stage"] not in ASK_NO_NETWORK
            self.pins.root = Path(composed["root"])
            pinned = self.pins(composed)
            complete_geometries(pinned, online=self.pins.strict)
            check_layers(pinned)
            check_kv_modules(pinned)
            decide_dtypes(pinned)
            self.done[key] = pinned
        # Each run keeps its config; a seed set in a shared one would change all.
        config = copy.deepcopy(self.done[key])
        if seed is not None:
            config["seed"] = seed
            check_seed(config)
        return config


def name_study(config: Config) -> str:
    """The study of a command that computes. Raises ConfigError for several studies."""
    study = config["study"] or config["scale"]
    if isinstance(study, list):
        raise ConfigError(
            f"study={study} names several studies, which only stage=report joins. Give one."
        )
    return str(study)
