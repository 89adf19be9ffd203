"""A second teacher from a first: a pretrained model fine-tuned on the teachers' half of a split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from kvdistill.data.prompt_style import Style
from kvdistill.geometry import Geometry
from kvdistill.models.layer_pruning import Pruned
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
        with TemporaryDirectory() as copy_folder:
            # A model read from GGUF cannot be saved as it is; with every layer kept, it can.
            copy = Pruned(source=self.source, keep=list(range(geometry.layers)))
            copy.build(geometry, None, Path(copy_folder), lambda *_: None)
            pretrained = Pretrained(path=copy_folder)
            model, tokenizer = pretrained.load_model(torch.float32), pretrained.load_tokenizer()
        rows = [
            encode_text(tokenizer, text.prompt, text.answer)
            for text in render_split(split, self.style)
        ]
        with one_thread():
            self.training.train_model(model, rows, self.seed, progress)
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
