r"""Column mapping: from a row of any dataset to a record with question, rationale and answer.

A field is mapped to a column by its name, or to several by a template ("{Question}\nA. {A}"); a
column may hold a conversation.
Shared by every source that reads rows; errors name the file, the row and the field.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from kvdistill.config import types
from kvdistill.data.conversations import is_conversation, read_turns
from kvdistill.errors import ConfigError
from kvdistill.records import Record

REQUIRED_FIELDS = ("question", "answer")
MAPPABLE_FIELDS = ("id", "task", "question", "rationale", "answer")
MAX_FIELD_BYTES = 100_000
"""A longer field is no question or answer, but a broken file."""


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """Makes records of the rows of one source; refuses an unusable mapping when it is made."""

    setting: str
    """The config path of the mapping, for errors."""
    columns: Mapping[str, str | None]
    """By record field, a column or a template; question and answer at least."""
    source: str
    task: str | None
    """The task of rows whose mapping names no task column."""
    pattern: str | None = None
    r"""A regex searched in the answer, whose groups `answer` and, if there, `rationale` replace the
    fields of that name; the last match counts.
    GSM8K: `(?s)(?P<rationale>.*?)\s*####\s*(?P<answer>.*)`."""

    def __post_init__(self) -> None:
        missing = [field for field in REQUIRED_FIELDS if not self.columns.get(field)]
        unknown = sorted(set(self.columns) - set(MAPPABLE_FIELDS))
        if missing or unknown:
            fault = f"has no {missing[0]}" if missing else f"names {unknown[0]!r}"
            raise ConfigError(
                f"{self.setting} {fault}; it maps question and answer, and may map rationale, "
                "task and id, to columns."
            )
        if self.task is None and not self.columns.get("task"):
            raise ConfigError(
                f"{self.setting} has no task column. Map one, or name one task for all rows."
            )
        for field, column in self.columns.items():
            if column and "{" in column:
                _parse_template(column, f"{self.setting}.{field}")
        if self.pattern is not None and "answer" not in _compile_pattern(
            self.pattern, self.setting
        ):
            raise ConfigError(f"{self.setting}: pattern {self.pattern!r} has no group `answer`.")

    def __call__(self, row: Mapping[str, Any], place: str, default_id: str) -> Record:
        """One row as a record. Raises ConfigError naming `place` (file and row) and the field."""
        values = {
            field: _read_field(row, column, place, field)
            for field, column in self.columns.items()
            if column
        }
        # Before the check for empty fields, as the pattern may provide the rationale.
        if self.pattern is not None:
            values |= self._match_pattern(values["answer"], place)
        # Optional fields too: a field that is mapped must be there, or the mapping is wrong.
        for field, value in values.items():
            if not value.strip():
                raise ConfigError(
                    f"{place}, field {field}: empty. Fill it in, remove the row, or map no {field}."
                )
        return Record(
            id=values.get("id", default_id),
            source=self.source,
            task=values.get("task", self.task or ""),
            question=values["question"].strip(),
            rationale=values.get("rationale", "").strip(),
            answer=values["answer"].strip(),
        )

    def _match_pattern(self, answer: str, place: str) -> dict[str, str]:
        assert self.pattern is not None
        matches = list(re.finditer(self.pattern, answer))
        if not matches:
            raise ConfigError(
                f"{place}, field answer: nothing in it matches pattern {self.pattern!r}. "
                f"Change the pattern of {self.setting} or the row."
            )
        return {name: text or "" for name, text in matches[-1].groupdict().items()}


def _compile_pattern(pattern: str, setting: str) -> Mapping[str, int]:
    """The groups of the regex, by name. Raises ConfigError for text that is none."""
    try:
        return re.compile(pattern).groupindex
    except re.error as error:
        raise ConfigError(f"{setting}: pattern {pattern!r} is no regex: {error}.") from error


def _read_field(row: Mapping[str, Any], column: str, place: str, field: str) -> str:
    """The text of a record field, from a column or a template of columns."""
    if "{" not in column:
        return _read_column(row, column, place, field)
    text = "".join(
        literal + ("" if name is None else _read_column(row, name, place, field))
        for literal, name in _parse_template(column, field)
    )
    if len(text) > MAX_FIELD_BYTES:
        raise ConfigError(
            f"{place}, field {field}: its columns make more than {MAX_FIELD_BYTES} characters. "
            "Shorten or remove the row."
        )
    return text


def _parse_template(template: str, setting: str) -> list[tuple[str, str | None]]:
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


def _read_column(row: Mapping[str, Any], name: str, place: str, field: str) -> str:
    """A cell as text; a list of texts has its items joined by newlines.

    Of a conversation, the answer is the last turn and every other field the turns before it.
    """
    if name not in row:
        raise ConfigError(
            f"{place}, field {field}: no column {types.format_value(name)} among "
            f"{types.format_value(sorted(row))}. Change the mapping or the row."
        )
    value = row[name]
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = "\n".join(value)
    elif is_conversation(value):
        value = read_turns(value, field, place)
    # bool is an int in Python; as an answer, True is hardly the text that was meant.
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(
            f"{place}, field {field}: column {name!r} holds {type(value).__name__}, "
            "not text or a number."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{place}, field {field}: column {name!r} holds {value}, no number.")
    text = str(value)
    # JSON can escape a lone surrogate ("\ud800"), which no UTF-8 file of a split can hold.
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{place}, field {field}: column {name!r} holds half a character (a lone surrogate). "
            "Correct the row."
        ) from error
    if size > MAX_FIELD_BYTES:
        raise ConfigError(
            f"{place}, field {field}: column {name!r} is longer than {MAX_FIELD_BYTES} bytes. "
            "Shorten or remove the row."
        )
    return text
