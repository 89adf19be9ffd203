"""Tokens and passwords, masked in whatever is written: known by variable and by pattern."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SECRET_VARIABLES = re.compile(r"(TOKEN|API_KEY|SECRET|PASSWORD|ACCESS_KEY)$")
"""Names of environment variables that hold a secret."""
MIN_SECRET_LENGTH = 8
"""Characters; a shorter value of such a variable is a switch or a word, no secret."""
SECRET_PATTERN = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[a-z]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|sk-[\w-]{20,}"
    r"|wandb_v\d_\w{20,}|AKIA[A-Z0-9]{16})"
    r"|(?<=://)[^/\s@]+(?=@)"
)
"""Tokens of the hub, of code hosts and of trackers; and what comes before the @ of an address."""
MASK = "***"


def list_secrets() -> list[str]:
    """The secrets of this process's environment, longest first."""
    # A secret that contains another must be masked before it.
    values = {value for name, value in os.environ.items() if SECRET_VARIABLES.search(name.upper())}
    return sorted(
        (value for value in values if len(value) >= MIN_SECRET_LENGTH), key=len, reverse=True
    )


def redact_secrets(text: str, secrets: Sequence[str] | None = None) -> str:
    """The text with every secret replaced by ***; `secrets` default to the environment's."""
    for value in list_secrets() if secrets is None else secrets:
        text = text.replace(value, MASK)
    return SECRET_PATTERN.sub(MASK, text)


def find_secret_paths(
    node: Any, path: str = "", secrets: Sequence[str] | None = None
) -> Iterator[str]:
    """Dotted paths of the texts in a config that hold a secret, keys included."""
    secrets = list_secrets() if secrets is None else secrets  # once a config, not a text
    if isinstance(node, Mapping):
        for key, value in node.items():
            name = redact_secrets(str(key), secrets)
            if name != str(key):
                yield f"{path}{name}"
            yield from find_secret_paths(value, f"{path}{name}.", secrets)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from find_secret_paths(value, f"{path.removesuffix('.')}[{index}].", secrets)
    elif isinstance(node, str) and redact_secrets(node, secrets) != node:
        yield path.removesuffix(".")
