"""Text that others wrote, escaped: nothing in it may hide or reorder what follows."""

MAX_LENGTH = 600
"""Characters of a text that is shown in a list."""


def escape_hidden(text: str) -> str:
    """The text with every hiding or reordering character as its code point."""
    # Most texts are plain, and long ones are looked at letter by letter.
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        letter if is_visible(letter) else f"\u2039U+{ord(letter):04X}\u203a" for letter in text
    )


def escape_and_truncate(text: str) -> str:
    """The text up to MAX_LENGTH characters, escaped."""
    return escape_hidden(text if len(text) <= MAX_LENGTH else text[:MAX_LENGTH] + " \u2026")


def is_visible(letter: str) -> bool:
    """False for controls (C0, C1), bidi marks, zero-width characters, surrogates, separators."""
    code = ord(letter)
    if letter in "\n\t":
        return True
    hidden = (
        code < 0x20
        or 0x7F <= code < 0xA0
        or 0x200B <= code <= 0x200F
        or 0x202A <= code <= 0x202E
        or 0x2060 <= code <= 0x2069
        or 0xD800 <= code <= 0xDFFF
        or code in (0x061C, 0xFEFF, 0x2028, 0x2029)
    )
    return not hidden


def shorten_label(label: str, max_length: int = 34) -> str:
    """A label that fits a legend: escaped, its middle left out."""
    escaped = escape_hidden(label)
    if len(escaped) <= max_length:
        return escaped
    half = (max_length - 1) // 2
    return f"{escaped[:half]}\u2026{escaped[-half:]}"
