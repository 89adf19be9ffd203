"""A GGUF file's header is read as the gguf package reads it, without its vocabulary."""

import struct
from pathlib import Path
from typing import Any

import gguf
import pytest

from kvdistill.errors import ConfigError
from kvdistill.plan.model_files.gguf_header import LONGEST_ARRAY, read_header
from tests.models.gguf_files import write_header

GEOMETRY = {
    "layers": 2, "hidden_size": 32, "intermediate_size": 64, "heads": 4, "kv_heads": 2,
    "head_dim": 8, "vocab_size": 300, "tied_embeddings": False,
}  # fmt: skip
NUMBERS = {
    "uint8": 200, "int8": -3, "uint16": 60_000, "int16": -300, "uint32": 70_000, "int32": -70_000,
    "float32": 0.5, "bool": True, "uint64": 2**40, "int64": -(2**40), "float64": 0.1,
}  # fmt: skip


def write_metadata(path: Path, **arrays: Any) -> None:
    """A file with a value of every type and these arrays."""
    writer = gguf.GGUFWriter(path, "llama")
    for kind, value in NUMBERS.items():
        getattr(writer, f"add_{kind}")(f"one.{kind}", value)
    writer.add_string("one.text", "ein Wort: \u4e09")
    for name, values in arrays.items():
        writer.add_array(f"many.{name}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_every_value_is_what_gguf_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    write_metadata(path, heads=[4, 4, 2], scales=[0.5, 1.5], tags=["a", "bc"])
    header, reader = read_header(path), gguf.GGUFReader(path)
    for key, value in header.metadata.items():
        expected = reader.fields[key].contents()
        assert value == (len(expected) if key == "many.tags" else expected), key
    assert set(header.metadata) == {key for key in reader.fields if not key.startswith("GGUF.")}
    assert header.architecture == "llama"


def test_a_vocabulary_is_counted_and_what_stands_behind_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    long = list(range(LONGEST_ARRAY + 1))
    write_metadata(path, tokens=["", "a", "\u4e09" * 5], scores=long, after=[7])
    metadata = read_header(path).metadata
    assert metadata["many.tokens"] == 3
    assert metadata["many.scores"] == len(long)
    assert metadata["many.after"] == [7]


def test_tensors_are_named(tmp_path: Path) -> None:
    write_header(tmp_path / "a.gguf", GEOMETRY)
    assert read_header(tmp_path / "a.gguf").tensors == ("output.weight",)


def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    write_header(path, GEOMETRY)
    assert read_header(path).get_value("block_count") == 2
    write_header(path, {**GEOMETRY, "layers": 30, "tied_embeddings": True})
    assert read_header(path).get_value("block_count") == 30


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "has 0 bytes"),
        (b"PK\x03\x04" + bytes(40), "does not begin as one"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "is of version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "names no architecture"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "ends within its header"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**63), "ends within its header"),
        (b"GGUF" + struct.pack("<IQQQcI", 3, 0, 1, 1, b"k", 13), "holds a value of type 13"),
    ],
)
def test_what_is_no_such_file_is_refused_by_name(
    tmp_path: Path, content: bytes, fault: str
) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"a.gguf is no GGUF file that can be read: it {fault}"):
        read_header(path)


def test_a_download_that_broke_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    write_metadata(path, tokens=["a"] * 500)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="ends within its header"):
        read_header(path)
