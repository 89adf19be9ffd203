"""Rows of a data set's file: parquet, CSV, TSV, JSON, JSON lines; gzipped, or in a zip archive.

Values of CSV are the texts that stand there: nothing is guessed into a number or a missing value.
"""

import csv
import gzip
import io
import json
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet

Row = dict[str, Any]

FORMATS = (".parquet", ".csv", ".tsv", ".jsonl", ".json")
"""By the end of a name, with `.gz` behind it or without."""
ARCHIVE = "!"
"""Between a zip archive and its member, as in `data.zip!test/*.csv`."""


def is_table(name: str) -> bool:
    """Whether a file of this name has rows that can be read here."""
    return PurePosixPath(name.removesuffix(".gz")).suffix in FORMATS


def read_table(path: Path, name: str) -> list[Row]:
    """Every row of a file, in order; its format by `name`, which a cache may not keep.

    Raises ValueError for a name of another format and for content that is not of its format.
    """
    return parse_table(path.read_bytes(), name)


def read_archive(path: Path, pattern: str) -> list[Row]:
    """The rows of the members of a zip archive that match, by name.

    Raises ValueError where none does, or where the file is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if fnmatchcase(name, pattern))
            if not names:
                raise ValueError(f"no member {pattern} among {', '.join(archive.namelist()[:3])}")
            return [row for name in names for row in parse_table(archive.read(name), name)]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path.name} is no zip archive: {error}") from error


def parse_table(content: bytes, name: str) -> list[Row]:
    """The rows of a file's content, as `read_table` has them."""
    if name.endswith(".gz"):
        try:
            content, name = gzip.decompress(content), name.removesuffix(".gz")
        except (OSError, EOFError) as error:
            raise ValueError(f"{name} is not gzip: {error}") from error
    suffix = PurePosixPath(name).suffix
    if suffix == ".parquet":
        rows: list[Row] = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
        return rows
    if suffix in (".csv", ".tsv"):
        return parse_csv(content.decode("utf-8-sig"), "\t" if suffix == ".tsv" else ",")
    if suffix in (".jsonl", ".json"):
        return parse_json(content.decode("utf-8-sig"))
    raise ValueError(f"{name} is none of {', '.join(FORMATS)}, gzipped or not")


def parse_csv(text: str, delimiter: str) -> list[Row]:
    """The rows under a head line; a column without a name (an index) is left out."""
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [{key: value for key, value in row.items() if key} for row in rows]
    except csv.Error as error:
        raise ValueError(f"line {rows.line_num}: {error}") from error


def parse_json(text: str) -> list[Row]:
    """One object a line, or one array of objects, as files named .json hold either."""
    if text.lstrip().startswith("["):
        rows = json.loads(text)
    else:
        # Divided at \n alone: U+2028 within a text ends no line.
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a row is no object with fields")
    return list(rows)
