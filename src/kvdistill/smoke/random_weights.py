"""A model of a stated shape with drawn weights and a made-up tokenizer: for stage=smoke.

Speed and memory hang on shapes alone, so a smoke job needs no download.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from kvdistill.data.sources.full_length import FullLength
from kvdistill.data.sources.nano import Nano as NanoRecords
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.geometry import keep_config_layers, make_config_sizes
from kvdistill.models.nano import ARCHITECTURES
from kvdistill.models.nano_tokenizer import train_tokenizer

MAX_POSITIONS = 32768  # tokens; more than any text that is trained on
LARGEST_VOCABULARY = (
    768  # tokens of the tokenizer; the model's own embeddings are as wide as stated
)
RECORDS = 20  # a family, of which the tokenizer is made
RECORD_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class RandomWeights:
    """Has what kvdistill.models.pretrained.Pretrained has, and reads no file."""

    architecture: str
    """qwen2 or llama: they differ in the projections' biases."""
    geometry: dict[str, Any]
    max_digits: int
    """Digits that a token packs: two models that differ in it read one text in other tokens."""
    seed: int

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ConfigError(
                f"pretrained.architecture={self.architecture} is none of "
                f"{', '.join(ARCHITECTURES)}. Choose one of them."
            )

    def load_config(self) -> PretrainedConfig:
        """The transformers config of the stated shape."""
        make_config, _ = ARCHITECTURES[self.architecture]
        tokenizer = self.load_tokenizer()
        config: PretrainedConfig = make_config(
            **make_config_sizes(Geometry(**self.geometry)),
            max_position_embeddings=MAX_POSITIONS,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        return config

    def read_config(self, _: Geometry) -> PretrainedConfig:
        """The same: there is nothing to fetch."""
        return self.load_config()

    def load_model(self, dtype: torch.dtype, layers: int | None = None) -> PreTrainedModel:
        """The whole causal LM, with its head, on the CPU; the global random state stays.

        Of its decoder the first `layers`, where a number is given.
        """
        config = self.load_config()
        if layers is not None:
            keep_config_layers(config, range(layers))
        return self._draw_model(AutoModelForCausalLM, config, dtype)

    def load_body(self, dtype: torch.dtype, layers: int) -> PreTrainedModel:
        """The decoder's first `layers` layers, without a head."""
        config = self.load_config()
        keep_config_layers(config, range(layers))
        return self._draw_model(AutoModel, config, dtype)

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """One that is made up here: fewer tokens than the model has embeddings for."""
        size = min(LARGEST_VOCABULARY, int(self.geometry["vocab_size"]))
        return make_tokenizer(size, self.max_digits)

    def _draw_model(
        self, kind: Any, config: PretrainedConfig, dtype: torch.dtype
    ) -> PreTrainedModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model: PreTrainedModel = kind.from_config(config, dtype=dtype)
        return model


@lru_cache
def make_tokenizer(size: int, max_digits: int) -> PreTrainedTokenizerBase:
    """A byte-level tokenizer of made-up records like those that are trained on."""
    source = FullLength(
        of=NanoRecords(rows=RECORDS, seed=0), seq_len=RECORD_TOKENS, answer_share=0.5
    )
    texts = [text for one in source.records() for text in (one.question, one.rationale, one.answer)]
    return train_tokenizer(texts, size, max_digits)
