"""The rows of a user's file: JSON lines, JSON, CSV, TSV or parquet, gzipped or not.

A file that cannot be read is refused by its name, the row, and the command that helps.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow

from kvdistill.data.table_files import parse_csv, parse_table
from kvdistill.errors import ConfigError, RowError

Row = Mapping[str, Any]

GZIP, PARQUET, UTF8_MARK = b"\x1f\x8b", b"PAR1", b"\xef\xbb\xbf"
UNREADABLE = {
    b"\xff\xfe\x00\x00": ("text in UTF-32", "iconv -f UTF-32 -t UTF-8 {name} > NEW.jsonl"),
    b"\xff\xfe": ("text in UTF-16", "iconv -f UTF-16 -t UTF-8 {name} > NEW.jsonl"),
    b"\xfe\xff": ("text in UTF-16", "iconv -f UTF-16 -t UTF-8 {name} > NEW.jsonl"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "zstd -d {name}"),
    b"\xfd7zXZ\x00": ("compressed by xz", "xz -d {name}"),
    b"BZh": ("compressed by bzip2", "bzip2 -d {name}"),
    b"PK\x03\x04": ("a zip archive or a spreadsheet", "unzip {name}, or save the sheet as CSV"),
    b"ARROW1": ("an Arrow file", "pyarrow.parquet.write_table, which makes it parquet"),
    b"\xff\xff\xff\xff": ("an Arrow stream", "Dataset.to_parquet, which makes it parquet"),
    b"SQLite format 3": ("a database", "sqlite3, which exports CSV"),
}
"""By how a file begins: what it is, and what makes it readable."""
FORMATS = "JSON lines, JSON, CSV, TSV or parquet, gzipped or not"


@dataclass(frozen=True)
class FileRow:
    """One row with how errors name it, and its number from 1: of JSON lines, its line's."""

    place: str
    number: int
    row: Row


def read_row_file(path: Path, setting: str) -> Iterator[FileRow]:
    """Every row, in file order; blank lines of JSON lines are skipped.

    Raises ConfigError naming setting and file, and RowError naming the row too, for what is none.
    """
    place = f"{setting}: {path}"
    content = unpack_content(read_content(path, setting), place)
    kind = PurePosixPath(path.name.lower().removesuffix(".gz")).suffix
    if content.startswith(PARQUET) or kind == ".parquet":
        rows = _read_parquet(content, place)
    elif kind in (".csv", ".tsv"):
        rows = _read_csv(content, "\t" if kind == ".tsv" else ",", place)
    elif kind == ".json" and content.lstrip().startswith(b"["):
        rows = _read_array(content, place)
    else:
        yield from _read_lines(content, place)
        return
    for number, row in enumerate(rows, start=1):
        yield FileRow(f"{place} row {number}", number, row)


def read_content(path: Path, setting: str) -> bytes:
    """The bytes of a file. Raises ConfigError for a place that is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{setting}: {path} cannot be read: {error.strerror}. Give a file of {FORMATS}."
        ) from error


def unpack_content(content: bytes, place: str) -> bytes:
    """A file's content without gzip and byte order mark. Raises ConfigError for other formats."""
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ConfigError(
                f"{place} begins as gzip and is not whole: {error}. Fetch or compress it anew."
            ) from error
    for start, (what, remedy) in UNREADABLE.items():
        if content.startswith(start):
            command = remedy.format(name=place.rpartition("/")[2])
            raise ConfigError(f"{place} is {what}, and is read as {FORMATS}. Use {command}.")
    return content.removeprefix(UTF8_MARK)


def _read_lines(content: bytes, place: str) -> Iterator[FileRow]:
    """An object a line, divided at its line feeds alone: U+2028 in a text is no end of a line."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            here = f"{place} row {number}"
            yield FileRow(here, number, _parse_line(line, here))


def _parse_line(line: bytes, place: str) -> Row:
    """The object on a line. Raises RowError, beginning with `place`, for anything else."""
    text = decode_text(line, place)
    row = parse_json_text(text, place, "Write one object a line.")
    if not isinstance(row, dict):
        raise RowError("no object", f"{place}: a {type(row).__name__}, not an object with fields.")
    return row


def parse_json_text(text: str, place: str, remedy: str) -> Any:
    """What JSON stands for, by its standard. Raises RowError, beginning with `place`, for none."""
    # The order of the handlers matters: the first is a ValueError too.
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise RowError(
            "not JSON", f"{place}, {line}column {error.colno}: not JSON: {error.msg}. {remedy}"
        ) from error
    except ValueError as error:  # NaN; more digits than Python reads
        raise RowError(
            "not JSON", f"{place}: not JSON: {str(error).split(';')[0]}. Correct the row."
        ) from error
    except RecursionError as error:
        raise RowError("not JSON", f"{place}: nested too deeply. {remedy}") from error


def decode_text(content: bytes, place: str) -> str:
    """Bytes as UTF-8. Raises RowError naming the first byte that is not, and how to convert."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = f", line {before.count(10) + 1}" if b"\n" in content.rstrip(b"\n") else ""
        raise RowError(
            "not UTF-8",
            f"{place}{line}, byte {error.start + 1}{_name_field_before(before)}: not UTF-8. Save "
            f"the file as UTF-8: iconv -f {guess_encoding(content)} -t UTF-8 FILE > NEW.",
        ) from error


def guess_encoding(content: bytes) -> str:
    """The likeliest of the encodings in which Chinese and Western texts are saved beside UTF-8."""
    try:
        text = content.decode("gb18030")
    except UnicodeDecodeError:
        return "WINDOWS-1252"
    # Two accented letters in a row make a character of GB18030 too; three such seldom follow.
    return "GB18030" if re.search("[\u4e00-\u9fff]{3}", text) else "WINDOWS-1252"


def _read_csv(content: bytes, delimiter: str, place: str) -> list[Any]:
    try:
        return parse_csv(decode_text(content, place), delimiter)
    except ValueError as error:
        raise ConfigError(
            f"{place}, {error}. Write a head line with the columns' names, and quote texts that "
            "hold line ends or quotes."
        ) from error


def _read_parquet(content: bytes, place: str) -> list[Any]:
    try:
        return parse_table(content, "rows.parquet")
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        cause = " ".join(str(error).split()).rstrip(".")[:200]
        raise ConfigError(
            f"{place} is no whole parquet file: {cause}. Fetch or write it anew."
        ) from error


def _read_array(content: bytes, place: str) -> list[Any]:
    text = decode_text(content, place)
    rows = parse_json_text(text, place, "Write an array of objects, or one object a line.")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise RowError(
                "no object",
                f"{place} row {number}: a {type(row).__name__}, not an object with fields.",
            )
    return list(rows)


def _refuse_constant(name: str) -> None:
    """For NaN and Infinity, which Python reads although JSON has no such numbers."""
    raise ValueError(f"{name} is no number of JSON")


def _name_field_before(before: bytes) -> str:
    """`, field KEY` of the value that a line of JSON is in, as far as it shows; else nothing."""
    if not before.lstrip().startswith(b"{"):
        return ""
    keys = [part.rsplit('"', 1)[-1] for part in before.decode("utf-8").split('":')[:-1]]
    return f", field {keys[-1]}" if keys else ""
