"""Tokens and passwords: known by where they lie and by how they look, so that none is written."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NAMES = re.compile(r"(TOKEN|API_KEY|SECRET|PASSWORD|ACCESS_KEY)$")
"""Environment variables that hold one."""
SHORTEST = 8
"""Characters; a shorter value of such a variable is a switch or a word, not a secret."""
FORMS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[a-z]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|sk-[\w-]{20,}"
    r"|wandb_v\d_\w{20,}|AKIA[A-Z0-9]{16})"
    r"|(?<=://)[^/\s@]+(?=@)"
)
"""Of the hub, of code hosts and trackers; and what stands before the @ of an address."""
MASK = "***"


def known() -> list[str]:
    """The secrets of this process's environment, longest first."""
    found = {value for name, value in os.environ.items() if NAMES.search(name.upper())}
    return sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True)


def masked(text: str, values: Sequence[str] | None = None) -> str:
    """The text with *** in the place of every secret; `values` are the environment's."""
    for value in known() if values is None else values:
        text = text.replace(value, MASK)
    return FORMS.sub(MASK, text)


def holders(node: Any, path: str = "", values: Sequence[str] | None = None) -> Iterator[str]:
    """Dotted paths of the texts in a config that hold a secret, keys included."""
    values = known() if values is None else values  # read once, not once a text
    if isinstance(node, Mapping):
        for key, value in node.items():
            name = masked(str(key), values)
            if name != str(key):
                yield f"{path}{name}"
            yield from holders(value, f"{path}{name}.", values)
    elif isinstance(node, list | tuple):
        for place, value in enumerate(node):
            yield from holders(value, f"{path.removesuffix('.')}[{place}].", values)
    elif isinstance(node, str) and masked(node, values) != node:
        yield path.removesuffix(".")
