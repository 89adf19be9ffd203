"""A GGUF file that a model is read from, and what names the artefact that it is converted into.

Parsing its vocabulary and unpacking its weights takes minutes, so it is done once a file and dtype,
and every job reads the outcome.
"""

from collections.abc import Mapping
from typing import Any

from kvdistill.plan.identity import identify_by_content, leave_out_defaults

CONVERSION = "conversion"
"""Kind of the artefact: its weights as safetensors in the model's dtype, its tokenizer beside."""
CONVERSION_VERSION = 1
"""Of what is written. Raise it with any change that gives other tensors, ids or settings."""


def reads_gguf(node: Mapping[str, Any]) -> bool:
    """Whether a student's or teacher's node reads its weights from a GGUF file."""
    return bool((node.get("pretrained") or {}).get("gguf_file"))


def conversion_science(node: Mapping[str, Any]) -> Any:
    """What can change the outcome for the node of a model that reads a GGUF file.

    Neither its name nor where it is computed with: two roles and studies share it.
    """
    science = {key: node[key] for key in ("pretrained", "dtype")}
    return {"version": CONVERSION_VERSION, **leave_out_defaults(identify_by_content(science))}
