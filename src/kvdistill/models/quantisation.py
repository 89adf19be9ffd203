"""Weights that are packed: refused where a folder holds them, unpacked where a GGUF file does.

Packed weights (GPTQ, AWQ, bitsandbytes, FP8, ...) take no gradient, cannot be cut, sharded or
merged with LoRA, and a folder of them cannot be written again. A GGUF file is read as plain
numbers.
"""

from typing import Any

from transformers import GgufConfig

from kvdistill.errors import ConfigError

KEY = "quantization_config"
"""Where a transformers config says that its weights are packed."""


def make_unpacking_kwargs() -> dict[str, Any]:
    """What `from_pretrained` needs to read a GGUF file as plain weights that can be saved.

    Otherwise transformers keeps them packed on a machine that has kernels for them, and refuses to
    save them on any.
    """
    return {KEY: GgufConfig(dequantize=True)}  # from_pretrained writes into it: one a call


def check_unquantised(config: Any, place: str) -> None:
    """Raises ConfigError for the transformers config of packed weights at `place`.

    Models of several parts say it in the config of the part.
    """
    for part in (config, config.get_text_config()):
        if (packing := getattr(part, KEY, None)) is not None:
            raise ConfigError(
                f"pretrained: the weights of {place} are packed ({_name_method(packing)}), and "
                f"such weights can be neither trained, cut, sharded nor saved. Name the model that "
                f"they were packed from, or unpack them once: "
                f"AutoModelForCausalLM.from_pretrained(...).dequantize().save_pretrained(FOLDER)."
            )


def _name_method(packing: Any) -> str:
    known = packing if isinstance(packing, dict) else packing.to_dict()
    method = known.get("quant_method", "an unknown method")
    return str(getattr(method, "value", method))
