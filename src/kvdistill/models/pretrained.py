"""Weights that exist: a local folder, a GGUF file in one, or a pinned revision on the hub."""

import re
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kvdistill.errors import ConfigError
from kvdistill.models.geometry import shorten


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A causal language model and its tokenizer, as transformers loads them."""

    path: str | None = None
    """A local Hugging Face folder; exactly one of `path` and `hub`."""
    hub: str | None = None
    """A repository id on the hub."""
    revision: str | None = None
    """A commit of the hub repository; a branch in YAML becomes one when the plan is made."""
    gguf_file: str | None = None
    trust_remote_code: bool = False
    sha256: str | None = None
    """Content hash of `path`, put here when the plan was made."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.hub is None):
            raise ConfigError(
                f"pretrained needs exactly one of path and hub, got path={self.path} and "
                f"hub={self.hub}. Set the one and leave the other null."
            )
        if self.hub is not None and not re.fullmatch("[0-9a-f]{40}", self.revision or ""):
            raise ConfigError(
                f"pretrained.revision must pin {self.hub} to a commit, got {self.revision}. "
                f"Give the commit hash the hub shows."
            )

    @property
    def source(self) -> dict[str, Any]:
        """The arguments of `from_pretrained`."""
        return {
            "pretrained_model_name_or_path": self.path or self.hub,
            "revision": self.revision or "main",
            "trust_remote_code": self.trust_remote_code,
        } | ({"gguf_file": self.gguf_file} if self.gguf_file else {})

    def model(self, dtype: torch.dtype) -> PreTrainedModel:
        """The whole model, with its head."""
        return AutoModelForCausalLM.from_pretrained(**self.source, dtype=dtype)

    def config(self) -> Any:
        """The model's own config."""
        return AutoConfig.from_pretrained(**self.source)

    def body(self, dtype: torch.dtype, layers: int) -> PreTrainedModel:
        """The decoder's first `layers` layers, without head; the others are never read."""
        config = self.config()
        shorten(config, layers)
        return AutoModel.from_pretrained(**self.source, config=config, dtype=dtype)

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""
        return AutoTokenizer.from_pretrained(**self.source)
