"""A model and its tokenizer as a Hugging Face folder, which any other process can load."""

import logging
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)

TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
"""What generating needs of a generation config, whatever else it says."""


def write_model_folder(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: str | Path
) -> None:
    """Writes both; loaded again they give the same logits and ids, bit for bit.

    Settings of generation that transformers refuses to write are left out, which the log says.
    """
    if model.can_generate():
        model.generation_config = keep_writable_settings(model.generation_config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def keep_writable_settings(settings: Any) -> Any:
    """The settings themselves where transformers would write them; else their token ids alone.

    Published folders set a temperature without sampling, which is read with a warning and, once
    anything has changed in it, refused on writing: after hours of training.
    """
    try:
        settings.validate(strict=True)
    except ValueError as error:
        log.warning(
            "generation_config.json of the source cannot be written (%s); the written model keeps "
            "its token ids alone.",
            " ".join(str(error).split()),
        )
        return GenerationConfig(**{name: getattr(settings, name, None) for name in TOKEN_IDS})
    return settings
