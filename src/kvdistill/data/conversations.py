"""Conversations as a column: turns of `role` and `content`, or ShareGPT's `from` and `value`."""

from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.errors import RowError

TURN_KEYS = (("role", "content"), ("from", "value"))
"""Of the chat messages of OpenAI and transformers, and of ShareGPT."""
ASSISTANTS = {"assistant", "gpt", "model", "bot", "chatgpt"}
USERS = {"user", "human", "prompter", "system"}


def is_conversation(value: Any) -> bool:
    """Whether a cell holds turns of either form."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(turn, Mapping) and any(set(keys) <= set(turn) for keys in TURN_KEYS)
            for turn in value
        )
    )


def read_turns(turns: Sequence[Mapping[str, Any]], field: str, place: str) -> str:
    """What a record's field is of a conversation: the last turn for the answer, else all before it.

    Raises RowError, beginning with `place`, where the last turn is not the assistant's alone, a
    role is unknown, or a turn is no text.
    """
    pairs = [
        next((turn[role], turn[text]) for role, text in TURN_KEYS if role in turn and text in turn)
        for turn in turns
    ]
    for role, text in pairs:
        if role not in ASSISTANTS | USERS or not isinstance(text, str):
            raise RowError(
                "no turns",
                f"{place}, field {field}: a turn of {role!r} that holds {type(text).__name__}. "
                f"Turns are texts of {', '.join(sorted(USERS | ASSISTANTS))}. Leave others out.",
            )
    if pairs[-1][0] not in ASSISTANTS or len(pairs) < 2:
        raise RowError(
            "no turns",
            f"{place}, field {field}: the conversation does not end with an answer of the "
            "assistant to something. Remove the row, or its last turn.",
        )
    if field == "answer":
        return str(pairs[-1][1])
    return "\n\n".join(text for _, text in pairs[:-1])
