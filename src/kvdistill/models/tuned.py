"""A second teacher from a first: a pretrained model fine-tuned on the teachers' half of a split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kvdistill.data.prompt_style import Style
from kvdistill.geometry import Geometry
from kvdistill.models.model_folder import write_model_folder
from kvdistill.models.nano_training import Training, encode_text, one_thread, render_split
from kvdistill.models.pretrained import Pretrained


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """Fine-tunes a copy, to the same bits every time."""

    source: Pretrained
    style: Style
    """How the records are written out as the texts to train on."""
    seed: int
    training: Training

    def read_config(self, geometry: Geometry) -> Any | None:
        """The source's transformers config where it lies at hand; else None."""
        return self.source.read_config(geometry)

    def build(
        self,
        geometry: Geometry,
        split: Path,
        out: Path,
        progress: Callable[[int, int], None],
    ) -> None:
        """Writes the tuned model and its source's tokenizer as a Hugging Face folder."""
        model, tokenizer = self.source.load_model(torch.float32), self.source.load_tokenizer()
        rows = [
            encode_text(tokenizer, text.prompt, text.answer)
            for text in render_split(split, self.style)
        ]
        with one_thread():
            self.training.train_model(model, rows, self.seed, progress)
        write_model_folder(model, tokenizer, out)
