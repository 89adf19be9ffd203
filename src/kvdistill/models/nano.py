"""Tiny models built from the split itself: the students and teachers of the nano scale.

A recipe trains a tokenizer on the teachers' half, initialises a Qwen2 or Llama of the given
geometry under a seed of its own, trains it there (teachers only), and writes a Hugging Face
folder: the same bits every time, so that a recipe is as good a name as a hash of the weights.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM
from transformers import PreTrainedTokenizerFast as Tokenizer

from kvdistill.data.prompt_style import Style
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.geometry import make_config_sizes
from kvdistill.models.model_folder import write_model_folder
from kvdistill.models.nano_tokenizer import train_tokenizer
from kvdistill.models.nano_training import Training, encode_text, one_thread, render_split

ARCHITECTURES = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
}
MAX_POSITIONS = 512  # tokens; several times the longest generated text


@dataclass(frozen=True, kw_only=True)
class Nano:
    """The recipe of one model."""

    architecture: str
    max_digits: int
    """Digits a token may pack: 1 as Qwen reads numbers, 3 as Llama 3 does."""
    rope_theta: float
    init_std: float
    style: Style
    """How the records are written that the tokenizer and the model are trained on."""
    seed: int
    training: Training | None
    """None leaves the model as initialised."""

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ConfigError(
                f"build.architecture={self.architecture} is none of {', '.join(ARCHITECTURES)}. "
                f"Choose one of them."
            )
        if self.max_digits < 1:
            raise ConfigError(f"build.max_digits must be at least 1, got {self.max_digits}.")

    def build(
        self,
        geometry: Geometry,
        split: Path,
        out: Path,
        progress: Callable[[int, int], None],
    ) -> None:
        """Writes model and tokenizer to `out`; the global random state stays as it was.

        Raises ConfigError for a geometry that no model can have.
        """
        texts = render_split(split, self.style)
        tokenizer = self.make_tokenizer(geometry, split)
        # Models are built on the CPU alone, so no CUDA generator has to be saved.
        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            model = self.initialise_model(geometry, tokenizer)
            if self.training is not None:
                rows = [encode_text(tokenizer, text.prompt, text.answer) for text in texts]
                self.training.train_model(model, rows, self.seed, progress)
        write_model_folder(model, tokenizer, out)

    def make_tokenizer(self, geometry: Geometry, split: Path) -> Tokenizer:
        """The tokenizer alone, as `build` makes it: a second, where a teacher takes minutes."""
        texts = (text.text for text in render_split(split, self.style))
        return train_tokenizer(texts, geometry.vocab_size, self.max_digits)

    def read_config(self, geometry: Geometry) -> Qwen2Config | LlamaConfig:
        """Its transformers config but for the tokens that its tokenizer numbers.

        Raises ConfigError for a geometry that no model can have.
        """
        remainders = (
            geometry.hidden_size % geometry.heads,  # Llama's config refuses it
            geometry.heads % geometry.kv_heads,
            geometry.head_dim % 2,  # the rotary embedding turns pairs
        )
        if any(remainders):
            raise ConfigError(
                f"{geometry} cannot be built: heads must divide hidden_size, kv_heads must divide "
                f"heads, and head_dim must be even. Correct the geometry of the YAML."
            )
        make_config, _ = ARCHITECTURES[self.architecture]
        return make_config(
            **make_config_sizes(geometry),
            max_position_embeddings=MAX_POSITIONS,
            rope_parameters={"rope_type": "default", "rope_theta": self.rope_theta},
            initializer_range=self.init_std,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=None,
        )

    def initialise_model(
        self, geometry: Geometry, tokenizer: Tokenizer
    ) -> Qwen2ForCausalLM | LlamaForCausalLM:
        """The untrained model, drawn from the global generator.

        Raises ConfigError for a geometry that no model can have.
        """
        _, make_model = ARCHITECTURES[self.architecture]
        config = self.read_config(geometry)
        config.eos_token_id = tokenizer.eos_token_id
        config.pad_token_id = tokenizer.pad_token_id
        return make_model(config)
