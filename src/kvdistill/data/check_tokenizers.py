"""Whether tokenizers can be aligned: the bytes of their tokens must be known.

A module of its own, so that a child process can run it apart from the command that asks.
"""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.build import build_node
from kvdistill.data.prompt_style import RenderedText
from kvdistill.data.tokenise import Tokeniser

PROBE = "Two thirds of 1,234 is 822.67; \u4e09\u5206\u4e4b\u4e8c, caf\u00e9."


def find_faults(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """By name of the pretrained nodes, why the tokenizer cannot be aligned; empty if it can."""
    return {name: find_fault(name, node) for name, node in nodes.items()}


def find_fault(name: str, node: Mapping[str, Any]) -> str:
    """Why this tokenizer cannot be aligned; empty if it can."""
    text = RenderedText(id="probe", task="probe", style="probe", prompt="", answer=PROBE)
    try:
        Tokeniser(build_node("pretrained", node).load_tokenizer(), name)([text])
    except Exception as error:  # noqa: BLE001 - any failure to load or tokenise is the answer
        return " ".join(str(error).split()) or type(error).__name__
    return ""
