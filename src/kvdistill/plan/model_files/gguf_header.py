"""The header of a GGUF file: its metadata and the names of its tensors; no vocabulary, no weights.

The format is ggml's (docs/gguf.md of its repository), versions 2 and 3, little-endian. The gguf
package reads it too, but makes two numpy arrays for every token and merge: seconds of a plan, where
all that is read of a vocabulary is how long it is.
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kvdistill.errors import ConfigError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
"""Of the format; the first counted in 32 bits, and nothing has written it for years."""
NUMBERS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
"""Type of a value in the file -> its code of `struct`."""
TEXT, ARRAY = 8, 9
LONGEST_ARRAY = 1024
"""Numbers of an array that is read: more than any model has layers, fewer than any has tokens."""


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says before its weights begin."""

    metadata: Mapping[str, Any]
    """Of an array of texts, and of one longer than LONGEST_ARRAY, how long it is."""
    entries: Mapping[str, tuple[int, int]]
    """Key -> the bytes of its entry in the file, from and up to; of an array that is only counted
    those before the array."""
    counted: frozenset[str]
    """Keys of the arrays that `metadata` only counts."""
    tensors: tuple[str, ...]

    @property
    def architecture(self) -> str:
        """llama.cpp's name of it: qwen2, gemma3."""
        return str(self.metadata["general.architecture"])

    def get_value(self, name: str, default: Any = None) -> Any:
        """The metadata of its architecture under this name: block_count."""
        return self.metadata.get(f"{self.architecture}.{name}", default)


def read_header(path: Path) -> GgufHeader:
    """The header of a file, read once for as long as the file stays as it is.

    Raises:
        ConfigError: for a file that is no GGUF file, or ends within its header.
    """
    stat = path.stat()
    return _read_header(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _read_header(path: Path, size: int, _: int) -> GgufHeader:
    if size < len(MAGIC):  # an empty file cannot be mapped
        raise ConfigError(_describe_fault(path, f"has {size} bytes"))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        if view[: len(MAGIC)] != MAGIC:
            raise ConfigError(_describe_fault(path, "does not begin as one"))
        try:
            return _Cursor(view).read_header()
        except (struct.error, UnicodeDecodeError) as error:
            raise ConfigError(_describe_fault(path, "ends within its header")) from error
        except ValueError as error:
            raise ConfigError(_describe_fault(path, str(error))) from error


def _describe_fault(path: Path, fault: str) -> str:
    return f"{path} is no GGUF file that can be read: it {fault}. Download it again, or convert it."


class _Cursor:
    """A place in the file, and what follows it."""

    def __init__(self, view: mmap.mmap) -> None:
        self.view, self.at = view, len(MAGIC)

    def read_header(self) -> GgufHeader:
        """All of it. Raises ValueError for what no version has, struct.error at the file's end."""
        version, tensor_count, count = self.read_numbers("IQQ")
        if version not in VERSIONS:
            raise ValueError(f"is of version {version} of the format; read are {VERSIONS}")
        metadata: dict[str, Any] = {}
        entries, counted = {}, set()
        for _ in range(count):
            start = self.at
            key = self.read_text()
            kind = self.read_number("I")
            value_at = self.at
            metadata[key] = self.read_value(kind)
            is_counted = kind == ARRAY and isinstance(metadata[key], int)
            entries[key] = (start, value_at if is_counted else self.at)
            counted |= {key} if is_counted else set()
        if "general.architecture" not in metadata:
            raise ValueError("names no architecture")
        tensors = tuple(self.read_tensors(tensor_count))
        return GgufHeader(metadata, entries, frozenset(counted), tensors)

    def read_tensors(self, count: int) -> list[str]:
        """Their names; past each its dimensions, type and offset."""
        names = []
        for _ in range(count):
            names.append(self.read_text())
            dimensions = self.read_number("I")
            self.at += 8 * dimensions + 12
        return names

    def read_numbers(self, codes: str) -> tuple[Any, ...]:
        """Numbers by their codes of `struct`, without gaps."""
        values = struct.unpack_from(f"<{codes}", self.view, self.at)
        self.at += struct.calcsize(f"<{codes}")
        return values

    def read_number(self, code: str) -> Any:
        """One number."""
        return self.read_numbers(code)[0]

    def read_text(self) -> str:
        """A text, which its length stands before."""
        length = self.read_number("Q")
        if self.at + length > len(self.view):
            raise struct.error
        self.at += length
        return self.view[self.at - length : self.at].decode("utf-8")

    def read_value(self, kind: int) -> Any:
        """A value of this type."""
        if kind == TEXT:
            return self.read_text()
        if kind == ARRAY:
            return self.read_array()
        if kind not in NUMBERS:
            raise ValueError(f"holds a value of type {kind}, which the format does not have")
        return self.read_number(NUMBERS[kind])

    def read_array(self) -> list[Any] | int:
        """An array's numbers, or how many values it has."""
        kind, count = self.read_numbers("IQ")
        if kind == TEXT:
            self.skip_texts(count)
            return int(count)
        if kind not in NUMBERS:
            raise ValueError(f"holds an array of values of type {kind}, which is not read")
        if count > LONGEST_ARRAY:
            self.at += count * struct.calcsize(f"<{NUMBERS[kind]}")
            return int(count)
        return list(self.read_numbers(NUMBERS[kind] * count))

    def skip_texts(self, count: int) -> None:
        """Goes past so many texts: hundreds of thousands, so nothing is looked up twice."""
        view, at, unpack = self.view, self.at, struct.Struct("<Q").unpack_from
        for _ in range(count):
            at += 8 + unpack(view, at)[0]
        self.at = at
