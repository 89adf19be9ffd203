"""What a manifest says of the code that made it."""

import subprocess
from pathlib import Path

import pytest

from kvdistill import manifest


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a package of one module, in which manifest.py seems to lie."""
    package = tmp_path / "src" / "kvdistill"
    (package / "fusion").mkdir(parents=True)
    (package / "manifest.py").write_text("A = 1\n")
    (tmp_path / ".gitignore").write_text("mine_*.py\n__pycache__/\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        names = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *names, *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(manifest, "__file__", str(package / "manifest.py"))
    return tmp_path


def test_code_that_a_commit_holds_is_clean(checkout: Path) -> None:
    cache = checkout / "src/kvdistill/fusion/__pycache__"
    cache.mkdir()
    (cache / "x.pyc").write_text("")
    (checkout / "notes.txt").write_text("beside the package")
    origin = manifest.read_code_origin()
    assert origin["git_dirty"] is False
    assert len(origin["git_commit"]) == 40


@pytest.mark.parametrize("name", ["mine.py", "mine_ignored.py", "tasks.yaml"])
def test_a_file_of_the_package_that_no_commit_holds_is_dirty(checkout: Path, name: str) -> None:
    """A new strategy, whether or not git was told to ignore it."""
    (checkout / "src/kvdistill/fusion" / name).write_text("A = 1\n")
    origin = manifest.read_code_origin()
    assert origin["git_dirty"] is True
    assert origin["untracked"] == [f"fusion/{name}"]


def test_an_edit_is_dirty(checkout: Path) -> None:
    (checkout / "src/kvdistill/manifest.py").write_text("A = 2\n")
    assert manifest.read_code_origin()["git_dirty"] is True


def test_a_heartbeat_that_is_just_being_written_is_no_file_of_the_artefact(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    heartbeat = tmp_path / ".status.json.7.part"
    heartbeat.write_text("{")
    manifest.write_manifest(tmp_path, "model", {}, {})
    heartbeat.rename(tmp_path / "status.json")
    assert list(manifest.verify_artifact(tmp_path)["files"]) == ["model.bin"]
