"""Weights that exist: a local folder, a GGUF file in one, or a pinned revision on the hub."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
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
from transformers.utils import CONFIG_NAME

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.config_files.gguf_config import name_tokenizer_type, read_header_config
from kvdistill.models.geometry import keep_config_layers
from kvdistill.models.quantisation import check_unquantised, make_unpacking_kwargs
from kvdistill.plan import hub
from kvdistill.plan.model_files.complete_geometry import find_model_file


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A causal language model and its tokenizer, as transformers loads them."""

    path: str | None = None
    """A local Hugging Face folder; exactly one of `path` and `hub`."""
    hub: str | None = None
    """A repository id on the hub."""
    revision: str | None = None
    """A commit of the hub repository; a branch in the YAML becomes one when the plan is made."""
    gguf_file: str | None = None
    trust_remote_code: bool = False
    """Whether the repository's own code may run; the command must name it in `trust` too."""
    pickle: bool = False
    """Whether the weights are pickles, which can run code; `trust` as above. False: safetensors."""
    sha256: str | None = None
    """Content hash of `path`, put here when the plan was made."""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.hub is None):
            raise ConfigError(
                f"pretrained needs exactly one of path and hub, got path={self.path} and "
                f"hub={self.hub}. Set the one and leave the other null."
            )
        # transformers says so too, of a release that it wants, once it reads the file.
        if self.gguf_file is not None and find_spec("gguf") is None:
            raise ConfigError(
                f"pretrained.gguf_file={self.gguf_file} needs the package gguf: pip install -c "
                f"constraints.txt -e '.[gguf]'."
            )
        if self.hub is not None and not re.fullmatch("[0-9a-f]{40}", self.revision or ""):
            raise ConfigError(
                f"pretrained.revision must pin {self.hub} to a commit, got {self.revision}. "
                f"Give the commit hash the hub shows."
            )

    @property
    def load_kwargs(self) -> dict[str, Any]:
        """The arguments of `from_pretrained` for a config or a tokenizer."""
        return {
            "pretrained_model_name_or_path": self.path or self.hub,
            "revision": self.revision or "main",
            "trust_remote_code": self.trust_remote_code,
        } | ({"gguf_file": self.gguf_file} if self.gguf_file else {})

    @property
    def weight_kwargs(self) -> dict[str, Any]:
        """The arguments of `from_pretrained` for a model: pickles only where allowed."""
        # A GGUF file is neither of the two forms that use_safetensors chooses between.
        form = make_unpacking_kwargs() if self.gguf_file else {"use_safetensors": not self.pickle}
        return self.load_kwargs | form

    @contextmanager
    def explain_missing_weights(self) -> Iterator[None]:
        """Raises ConfigError where the folder holds weights as pickles alone."""
        try:
            yield
        except OSError as error:
            # transformers raises one OSError for all that is missing; its text names the file.
            if self.gguf_file or self.pickle or ".safetensors" not in str(error):
                raise
            raise ConfigError(
                f"pretrained: {self.path or self.hub} has no safetensors, and a pickle (.bin, .pt) "
                f"can run code when it is read. Convert it, or set pretrained.pickle=true and "
                f"name it in trust."
            ) from error

    def load_model(self, dtype: torch.dtype, layers: int | None = None) -> PreTrainedModel:
        """The whole causal LM, with its head, on the CPU; of its decoder the first `layers`."""
        config = self.load_config()
        if layers is not None:
            keep_config_layers(config, range(layers))
        with self.explain_missing_weights():
            return AutoModelForCausalLM.from_pretrained(
                **self.weight_kwargs, config=config, dtype=dtype
            )

    def load_config(self) -> Any:
        """Its transformers config. Raises ConfigError where its weights are packed."""
        config = AutoConfig.from_pretrained(**self.load_kwargs)
        check_unquantised(config, str(self.path or self.hub))
        return config

    def read_config(self, geometry: Geometry) -> Any | None:
        """Its transformers config where it lies at hand; else None, and no network is asked."""
        if self.gguf_file is not None:
            path = find_model_file(asdict(self), online=False)
            return read_header_config(path) if path is not None and path.is_file() else None
        if self.path is not None:
            return self.load_config() if (Path(self.path) / CONFIG_NAME).is_file() else None
        repo = hub.Repo(str(self.hub), "model", str(self.revision))
        return self.load_config() if hub.is_cached(repo) else None

    def load_body(self, dtype: torch.dtype, layers: int) -> PreTrainedModel:
        """The decoder's first `layers` layers, without a head; the others are never read."""
        config = self.load_config()
        # from_pretrained skips the weights of layers that the config does not have.
        keep_config_layers(config, range(layers))
        with self.explain_missing_weights():
            return AutoModel.from_pretrained(**self.weight_kwargs, config=config, dtype=dtype)

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer; of a GGUF file the one that any folder written from it has.

        A class of one family puts what its published tokenizers have (Qwen's NFC) over what a
        folder says, but not over a GGUF file: without a folder between, evaluation of what was
        written would read texts otherwise than training did.
        """
        if self.gguf_file is None:
            return AutoTokenizer.from_pretrained(**self.load_kwargs)
        path = find_model_file(asdict(self), online=False)
        known = {} if path is None else name_tokenizer_type(path)
        tokenizer = AutoTokenizer.from_pretrained(**self.load_kwargs, **known)
        with TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            return AutoTokenizer.from_pretrained(folder)
