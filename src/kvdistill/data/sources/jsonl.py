"""The user's own questions: a jsonl file, one object a line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvdistill.data.columns import ColumnMapping
from kvdistill.data.sources.base import Source
from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.files import sha256
from kvdistill.records import Record


@dataclass(frozen=True, kw_only=True)
class Jsonl(Source):
    """Reads one file, each row through a column mapping."""

    path: str
    fields: Mapping[str, str | None]
    """Record field to column, or to a template of columns; see `ColumnMapping`."""
    task: str | None = None
    """The task of rows that have no task column."""
    pattern: str | None = None
    """A regex with groups `rationale` and `answer`, where one column holds both."""
    sha256: str | None = None
    """Of the file, put here when the plan was made; an edit since then is refused."""

    def __post_init__(self) -> None:
        self.make_mapping()  # refuses an unusable mapping before any file is opened

    def make_mapping(self) -> ColumnMapping:
        """The column mapping. Raises ConfigError for one that can read no row."""
        return ColumnMapping(
            setting="data.source.fields",
            columns=self.fields,
            source=Path(self.path).stem,
            task=self.task,
            pattern=self.pattern,
        )

    def records(self) -> list[Record]:
        """Every row, in file order; blank lines are skipped.

        Raises ConfigError naming file, row and field of the first row that is no record.
        """
        path, mapping = Path(self.path), self.make_mapping()
        # Read as bytes and divided at \n alone: U+2028 in a text is no end of a line, and a line
        # that is not UTF-8 can be named by its number. A BOM, as Windows writes it, is dropped.
        try:
            lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
        except OSError as error:
            raise ConfigError(
                f"data.source.path: {path} cannot be read: {error.strerror}. Give a jsonl file."
            ) from error
        if self.sha256 not in (None, sha256(path)):
            raise ArtifactError(f"{path} changed since the run was planned. Repeat the command.")
        records = []
        for number, line in enumerate(lines, start=1):
            if line.strip():
                place = f"data.source.path: {path} row {number}"
                records.append(mapping(_parse_row(line, place), place, f"{path.stem}-{number}"))
        if not records:
            raise ConfigError(f"data.source.path: {path} is empty. Give a file with rows.")
        return records


def _parse_row(line: bytes, place: str) -> Mapping[str, Any]:
    """The object on a line. Raises ConfigError, beginning with `place`, for anything else."""
    # The order of the handlers matters: the first two are ValueErrors too.
    try:
        row = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{place}, byte {error.start + 1}{_name_field_before(line, error.start)}: not UTF-8. "
            "Save the file as UTF-8."
        ) from error
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{place}, column {error.colno}: not JSON: {error.msg}. Write one object a line."
        ) from error
    except ValueError as error:  # NaN; more digits than Python reads
        raise ConfigError(
            f"{place}: not JSON: {str(error).split(';')[0]}. Correct the row."
        ) from error
    except RecursionError as error:
        raise ConfigError(f"{place}: nested too deeply. Write one flat object a line.") from error
    if not isinstance(row, dict):
        raise ConfigError(f"{place}: a {type(row).__name__}, not an object with fields.")
    return row


def _refuse_constant(name: str) -> None:
    """For NaN and Infinity, which Python reads although JSON has no such numbers."""
    raise ValueError(f"{name} is no number of JSON")


def _name_field_before(line: bytes, position: int) -> str:
    """`, field KEY` of the value around a byte, as far as a broken line shows it; else nothing."""
    before = line[:position].decode("utf-8")
    keys = [part.rsplit('"', 1)[-1] for part in before.split('":')[:-1]]
    return f", field {keys[-1]}" if keys else ""
