"""Which of transformers' attention kernels a model computes with."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from kvdistill.errors import ConfigError

SETTING = "train.attn_implementation"
FLASH = "flash_attention"
"""How transformers begins the names of those that take half precision alone."""
PLAIN = "sdpa"


def set_attention(model: nn.Module, implementation: str | None, role: str) -> None:
    """Has a model of transformers compute by this implementation; None leaves its own choice.

    `role` is its config path. Raises ConfigError where the model, its packages or this machine's
    processor do not have it.
    """
    if implementation is None:
        return
    base: Any = getattr(model, "get_base_model", lambda: model)()
    reason = "the model chooses its attention itself"
    try:
        assert isinstance(base, PreTrainedModel)
        base.set_attn_implementation(implementation)
    except (ImportError, ValueError) as error:  # transformers' own refusals
        reason = " ".join(str(error).split())[:200]
    # Where it cannot be set, transformers warns and goes on.
    if base.config._attn_implementation != implementation:
        raise ConfigError(
            f"{SETTING}={implementation} is not to be had for {role}, a {type(base).__name__}: "
            f"{reason}. Use null, which takes what it has."
        )


def set_reading_attention(model: nn.Module, train: Mapping[str, Any], role: str) -> None:
    """`set_attention`, as `train` says, of a model that is read without autocast.

    Float32 weights are left as they are where a flash kernel is asked for, which takes none.
    """
    # A plan that was frozen before there was a choice has none.
    implementation = train.get("attn_implementation")
    dtype = next(model.parameters()).dtype
    if str(implementation).startswith(FLASH) and dtype == torch.float32:
        return
    set_attention(model, implementation, role)


@contextmanager
def use_plain_attention(model: nn.Module) -> Iterator[None]:
    """While this is open no flash kernel computes the model: it also takes float32, and any device.

    What its attention multiplies can then be seen as well (models/attention/trace.py).
    """
    configs: dict[int, Any] = {
        id(config): config
        for module in model.modules()
        if (config := getattr(module, "config", None)) is not None
        and str(getattr(config, "_attn_implementation", "")).startswith(FLASH)
    }
    before = {key: config._attn_implementation_internal for key, config in configs.items()}
    for config in configs.values():
        # Read at every forward. The setter would ask again whether kernels are installed.
        config._attn_implementation_internal = PLAIN
    try:
        yield
    finally:
        for key, config in configs.items():
            config._attn_implementation_internal = before[key]
