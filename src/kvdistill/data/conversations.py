"""Conversations as a column: turns of `role` and `content`, or ShareGPT's `from` and `value`."""

from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.errors import RowError

TURN_KEYS = (("role", "content"), ("from", "value"))
"""Of the chat messages of OpenAI and transformers, and of ShareGPT."""
ASSISTANTS = {"assistant", "gpt", "model", "bot", "chatgpt"}
USERS = {"user", "human", "prompter"}
SYSTEM = "system"


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

    Raises RowError, beginning with `place`, where user and assistant do not speak in turns, the
    assistant last; where a role is unknown; and where a turn is no text.
    """
    pairs = [
        next((turn[role], turn[text]) for role, text in TURN_KEYS if role in turn and text in turn)
        for turn in turns
    ]
    pairs = [(role, join_text_parts(text)) for role, text in pairs]
    known = ASSISTANTS | USERS | {SYSTEM}
    for role, text in pairs:
        if role not in known or not isinstance(text, str):
            raise RowError(
                "no turns",
                f"{place}, field {field}: a turn of {role!r} that holds {type(text).__name__}. "
                f"Turns are texts of {', '.join(sorted(known))}. Leave others out.",
            )
    speakers = [role in ASSISTANTS for role, _ in pairs[pairs[0][0] == SYSTEM :]]
    if any(role == SYSTEM for role, _ in pairs[1:]) or any(
        is_assistant != bool(number % 2) for number, is_assistant in enumerate(speakers)
    ):
        raise RowError(
            "no turns",
            f"{place}, field {field}: user and assistant do not speak in turns after the system: "
            f"{', '.join(str(role) for role, _ in pairs)[:80]}. Correct or remove the row.",
        )
    if not speakers or not speakers[-1]:
        raise RowError(
            "no turns",
            f"{place}, field {field}: the conversation does not end with an answer of the "
            "assistant to something. Remove the row, or its last turn.",
        )
    if field == "answer":
        return str(pairs[-1][1])
    return "\n\n".join(text for _, text in pairs[:-1])


def join_text_parts(content: Any) -> Any:
    """A message's content in parts (`{"type": "text", "text": ...}`) as one text; others as is."""
    is_text = isinstance(content, list) and all(
        isinstance(part, Mapping)
        and part.get("type") == "text"
        and isinstance(part.get("text"), str)
        for part in content
    )
    return "\n".join(part["text"] for part in content) if is_text and content else content
