"""The bytes that each token of a vocabulary stands for.

Known for two families: byte-level BPE (GPT-2, Qwen, Llama 3), whose tokens are bytes written as
printable characters, and SentencePiece with byte fallback (Llama 2, Mistral, Gemma), whose tokens
are UTF-8 with U+2581 for the space and <0xNN> for a lone byte.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from transformers import PreTrainedTokenizerBase

from kvdistill.errors import ConfigError

METASPACE = "\u2581"
"""The character that SentencePiece writes for a space."""
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def build_byte_decoder() -> dict[str, int]:
    """Character -> byte of byte-level BPE: the inverse of GPT-2's `bytes_to_unicode`.

    Printable Latin-1 stands for itself, the other bytes for characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    shifted = {chr(0x100 + i): byte for i, byte in enumerate(others)}
    return {chr(byte): byte for byte in printable} | shifted


def list_token_bytes(tokenizer: PreTrainedTokenizerBase, setting: str) -> list[bytes | None]:
    """By token id, the bytes a token stands for; None where that is unknown (unk, unused ids).

    Raises ConfigError, naming `setting`, for a tokenizer of neither family.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    decode = _choose_decoder(state, setting)
    table: list[bytes | None] = [None] * len(tokenizer)
    # The unknown token stands for any text, and so for no bytes: it stays None, as unused ids do.
    unknown = state["model"].get("unk_token")
    added = {token["id"]: token["content"] for token in state["added_tokens"]}
    for piece, index in tokenizer.get_vocab().items():
        if index in added:
            # An added token is written as it stands, wherever the text holds it.
            table[index] = None if piece == unknown else added[index].encode()
        elif piece != unknown:
            table[index] = decode(piece)
    return table


def _choose_decoder(state: dict[str, Any], setting: str) -> Callable[[str], bytes | None]:
    """From a token as text to its bytes, by the decoders in tokenizer.json."""
    decoder_types = {node["type"] for node in _walk_decoders(state["decoder"])}
    if "ByteLevel" in decoder_types:
        alphabet = build_byte_decoder()
        return lambda piece: _decode_byte_level(piece, alphabet)
    if "ByteFallback" in decoder_types or state["model"].get("byte_fallback"):
        return _decode_byte_fallback
    raise ConfigError(
        f"{setting}: a {state['model']['type']} tokenizer whose tokens do not spell bytes; "
        "kvdistill aligns texts by bytes. Use a byte-level BPE tokenizer, or SentencePiece with "
        "byte fallback."
    )


def _walk_decoders(node: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A decoder and, of a Sequence, all it holds; none for null."""
    if node is not None:
        yield node
        for child in node.get("decoders", []):
            yield from _walk_decoders(child)


def _decode_byte_level(piece: str, alphabet: dict[str, int]) -> bytes | None:
    # A piece outside the alphabet is a control token that no text can produce.
    return bytes(alphabet[c] for c in piece) if all(c in alphabet for c in piece) else None


def _decode_byte_fallback(piece: str) -> bytes:
    lone = _BYTE_PIECE.fullmatch(piece)
    return bytes([int(lone[1], 16)]) if lone else piece.replace(METASPACE, " ").encode()
