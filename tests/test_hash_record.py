"""A large file that has not been touched is not read again to be hashed; one that has been is."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kvdistill import hash_record, layout, manifest
from kvdistill.errors import ArtifactError
from kvdistill.files import read_json, sha256
from kvdistill.hash_record import make_hasher
from kvdistill.plan.pin import Pins

Reads = list[Path]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Every file counts as large and settled; which were read to be hashed."""
    seen: Reads = []

    def read(path: Path) -> str:
        seen.append(path)
        return sha256(path)

    monkeypatch.setattr(hash_record, "LARGE_BYTES", 1)
    monkeypatch.setattr(hash_record, "SETTLED_S", -1.0)
    monkeypatch.setattr(hash_record, "sha256", read)
    return seen


@pytest.fixture
def artifact(tmp_path: Path, reads: Reads) -> Path:
    folder = tmp_path / "artifacts" / "model-0"
    (folder / "model").mkdir(parents=True)
    (folder / "model/a.safetensors").write_bytes(b"weights")
    manifest.write_manifest(folder, "model", {}, {})
    manifest.verify_artifact(folder)
    assert reads == [folder / "model/a.safetensors"]
    reads.clear()
    return folder


def test_what_was_hashed_and_not_touched_is_not_read_again(artifact: Path, reads: Reads) -> None:
    assert list(manifest.verify_artifact(artifact)["files"]) == ["model/a.safetensors"]
    assert reads == []


def restore_times(path: Path, write: Callable[[], object]) -> None:
    """Writes, and puts the times back that a program can set."""
    before = path.stat()
    write()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_other_bytes_of_the_same_size_and_time_are_noticed(artifact: Path) -> None:
    """In place, so that the inode is the same too: what is left is the time that nobody can set."""
    path = artifact / "model/a.safetensors"

    def write() -> None:
        deadline = time.monotonic() + 5
        before = path.stat().st_ctime_ns
        # A file system's clock ticks every few milliseconds.
        while path.stat().st_ctime_ns == before and time.monotonic() < deadline:
            path.write_bytes(b"weightS")

    restore_times(path, write)
    with pytest.raises(ArtifactError, match=r"a\.safetensors is altered since it was built"):
        manifest.verify_artifact(artifact)


def test_a_file_that_was_put_in_its_place_is_noticed(artifact: Path) -> None:
    path = artifact / "model/a.safetensors"
    other = path.with_name("other")
    other.write_bytes(b"weightS")
    restore_times(path, lambda: other.replace(path))
    with pytest.raises(ArtifactError, match="altered"):
        manifest.verify_artifact(artifact)


def test_a_copy_of_the_artefact_is_read(artifact: Path, tmp_path: Path, reads: Reads) -> None:
    """Whatever its record says: it is of other files."""
    copy = tmp_path / "copy"
    (copy / "model").mkdir(parents=True)
    for path in [path for path in artifact.rglob("*") if path.is_file()]:
        (copy / path.relative_to(artifact)).write_bytes(path.read_bytes())
    manifest.verify_artifact(copy)
    assert reads == [copy / "model/a.safetensors"]


def test_what_has_just_been_written_is_not_put_on_record(
    tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change within the clock's grain would leave no trace."""
    monkeypatch.setattr(hash_record, "SETTLED_S", 60.0)
    file, record = tmp_path / "a", tmp_path / layout.HASHES
    file.write_bytes(b"weights")
    for _ in range(2):
        assert make_hasher(record)(file) == sha256(file)
    assert len(reads) == 2
    assert not record.exists()


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff"])
def test_a_record_that_is_none_is_written_anew(tmp_path: Path, reads: Reads, text: str) -> None:
    file, record = tmp_path / "a", tmp_path / layout.HASHES
    file.write_bytes(b"weights")
    record.write_text(text, encoding="latin-1")
    assert make_hasher(record)(file) == sha256(file)
    assert read_json(record)["a"]["sha256"] == sha256(file)
    assert len(reads) == 1


def test_small_files_are_read_each_time(
    tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_record, "LARGE_BYTES", 100)
    (tmp_path / "a").write_bytes(b"small")
    make_hasher(tmp_path / layout.HASHES)(tmp_path / "a")
    assert reads == [tmp_path / "a"]
    assert not (tmp_path / layout.HASHES).exists()


def test_a_record_is_no_part_of_the_artefact(artifact: Path) -> None:
    assert (artifact / layout.HASHES).is_file()
    manifest.write_manifest(artifact, "model", {}, {})
    assert list(manifest.verify_artifact(artifact)["files"]) == ["model/a.safetensors"]


def test_a_model_of_the_users_is_read_by_the_first_plan_of_a_root(
    tmp_path: Path, reads: Reads
) -> None:
    """And by every plan of a root where nothing was made yet: that one is left as it is."""
    model, root = tmp_path / "own", tmp_path / "root"
    model.mkdir()
    root.mkdir()
    (model / "a.gguf").write_bytes(b"weights")
    digests = []
    for made in (False, False, True, True):
        if made:
            layout.artifacts_folder(root).mkdir(exist_ok=True)
        digests.append(Pins(root=root).hash_path(str(model), "model.path"))
    assert digests == [sha256(model)] * 4
    assert len(reads) == 1
