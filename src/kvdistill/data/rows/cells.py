"""The text of a record's field: of one column of a row, or of a template of several.

Every kind of value has a stated rule, and what has none is refused by row, field and column.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from string import Formatter
from typing import Any

from kvdistill.config import types
from kvdistill.data.conversations import is_conversation, read_turns
from kvdistill.errors import ConfigError, RowError

MAX_FIELD_BYTES = 100_000
"""A longer field is no question or answer, but a broken file."""
JOINED_FIELDS = ("question", "rationale")
"""Fields that a list of texts is joined for, as options and steps are; others have one value."""


def read_field(row: Mapping[str, Any], column: str, place: str, field: str) -> str:
    """The text of a record field. Raises RowError beginning with `place`, file and row."""
    if "{" not in column:
        return read_cell(row, column, place, field)
    text = "".join(
        literal + ("" if name is None else read_cell(row, name, place, field))
        for literal, name in parse_template(column, field)
    )
    if len(text) > MAX_FIELD_BYTES:
        raise RowError(
            "too long",
            f"{place}, field {field}: its columns make more than {MAX_FIELD_BYTES} characters. "
            "Shorten or remove the row.",
        )
    return text


def parse_template(template: str, setting: str) -> list[tuple[str, str | None]]:
    """(text, the column after it) of a template. Raises ConfigError for one that names none."""
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise ConfigError(
            f"{setting}={template!r} is no template: {error}. Write columns as {{name}}."
        ) from error
    # Formatter.parse takes `{a.b}` and `{a[0]}` as names, as columns may be called; a format or a
    # conversion it splits off, and `{q:>999999999}` would fill the memory.
    for _, name, spec, conversion in parsed:
        if name == "" or spec or conversion:
            raise ConfigError(
                f"{setting}={template!r} must hold nothing but columns as {{name}} and text."
            )
    return [(plain, name) for plain, name, _, _ in parsed]


def read_cell(row: Mapping[str, Any], name: str, place: str, field: str) -> str:
    """A cell as text: texts and numbers as they are, lists and conversations by the field's rule.

    Of a conversation, the answer is the last turn and every other field the turns before it.
    """
    where = f"{place}, field {field}"
    if name not in row:
        raise RowError("no column", f"{where}: {_describe_missing_column(row, name, field)}")
    value = row[name]
    if is_conversation(value):
        value = read_turns(value, field, place)
    elif isinstance(value, list) and value and _are_alike(value):
        value = _read_list(value, field, f"{where}: column {name!r}")
    text = _write_scalar(value, f"{where}: column {name!r}")
    # JSON can escape a lone surrogate ("\ud800"), which no UTF-8 file of a split can hold.
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise RowError(
            "half a character",
            f"{where}: column {name!r} holds half a character (a lone surrogate). Correct the row.",
        ) from error
    if size > MAX_FIELD_BYTES:
        raise RowError(
            "too long",
            f"{where}: column {name!r} is longer than {MAX_FIELD_BYTES} bytes. "
            "Shorten or remove the row.",
        )
    return text


def _are_alike(values: Sequence[Any]) -> bool:
    """Whether a list holds texts alone, or numbers alone."""
    return all(isinstance(each, str) for each in values) or all(
        isinstance(each, int | float) and not isinstance(each, bool) for each in values
    )


def _read_list(values: Sequence[Any], field: str, where: str) -> Any:
    """Steps and options a line each; of an answer its one value, since no grader knows which."""
    if field in JOINED_FIELDS:
        return "\n".join(_write_scalar(each, where) for each in values)
    distinct = list(dict.fromkeys(values))
    if len(distinct) > 1:
        raise RowError(
            "several values",
            f"{where} holds {len(distinct)} values, {types.format_value(distinct)}, and a record "
            f"has one {field}. Keep the one that is right, or write them as one text.",
        )
    return distinct[0]


def _write_scalar(value: Any, where: str) -> str:
    """A text, or a number as it would be written: a whole one without `.0`, none by its exponent.

    A column of whole numbers with one cell missing comes from pandas as fractions.
    """
    # bool is an int in Python; as an answer, True is hardly the text that was meant.
    if isinstance(value, bool):
        raise RowError(
            "no text",
            f"{where} holds bool, not text or a number. Write the word that is the answer.",
        )
    if value is None:
        raise RowError(
            "missing",
            f"{where} holds NoneType, not text or a number. Fill it in or remove the row.",
        )
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        raise RowError(
            "missing", f"{where} holds {value}, no number. Fill it in or remove the row."
        )
    if isinstance(value, float | Decimal):
        exact = Decimal(repr(value)) if isinstance(value, float) else value
        text = format(exact, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if not isinstance(value, str | int):
        raise RowError(
            "no text",
            f"{where} holds {type(value).__name__}, not text or a number. Map another column.",
        )
    return str(value)


def _describe_missing_column(row: Mapping[str, Any], name: str, field: str) -> str:
    talks = [key for key, value in row.items() if is_conversation(value)]
    remedy = "Change the mapping or the row."
    if talks:
        remedy = (
            f"Column {types.format_value(talks[0])} holds conversations: map question and answer "
            "to it and rationale to null, as data=messages and data=sharegpt do."
        )
    elif field == "rationale":
        remedy = (
            "Map another column, or none where there are no rationales: rationale=null (of own "
            "rows: data.source.fields.rationale=null), with style=direct."
        )
    return f"no column {types.format_value(name)} among {types.format_value(sorted(row))}. {remedy}"
