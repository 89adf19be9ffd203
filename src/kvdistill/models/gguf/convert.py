"""A GGUF file as a Hugging Face folder, equal to the bit to what transformers reads of the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from kvdistill.models.gguf.parse_once import parse_once
from kvdistill.models.model_folder import write_model_folder
from kvdistill.models.pretrained import Pretrained
from kvdistill.status import enter_phase


def convert_gguf(
    source: Pretrained, dtype: torch.dtype, out: Path, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Writes the weights in `dtype`, the config and the tokenizer into `out`, which is there.

    `progress` takes (tensors unpacked, tensors of the file). Returns facts of the manifest.
    """
    counts = {"tensors": 0}

    def report_progress(unpacked: int, tensors: int) -> None:
        counts["tensors"] = tensors
        progress(unpacked, tensors)

    with parse_once(report_progress):
        with enter_phase(f"parsing {source.gguf_file}"):
            # The tokenizer first: it is small, and what it holds is gone before the weights come.
            tokenizer = source.load_tokenizer()
        with enter_phase(f"unpacking {source.gguf_file}"):
            model = source.load_model(dtype)
    with enter_phase(f"writing {out.parent.name}"):
        write_model_folder(model, tokenizer, out)
    parameters = sum(each.numel() for each in model.parameters())
    return {"gguf_file": source.gguf_file, "parameters": parameters, **counts}
