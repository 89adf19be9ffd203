"""The copy of the code that jobs run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def package(place: Path, text: str) -> Path:
    made = place / "kvdistill"
    (made / "room/__pycache__").mkdir(parents=True)
    (made / "room/new.py").write_text(text)
    (made / "room/tasks.yaml").write_text("a: 1\n")
    (made / "room/__pycache__/new.pyc").write_text("x")
    return made


def test_the_same_code_is_one_copy_and_an_edit_is_another(tmp_path: Path) -> None:
    from kvdistill.cluster.code_snapshot import take_snapshot

    source = package(tmp_path, "a = 1\n")
    first = take_snapshot(tmp_path, source)
    assert take_snapshot(tmp_path, source) == first
    (source / "room/new.py").write_text("a = 2\n")
    second = take_snapshot(tmp_path, source)
    assert second != first
    assert (first / "kvdistill/room/new.py").read_text() == "a = 1\n"
    assert (second / "kvdistill/room/new.py").read_text() == "a = 2\n"
    assert (first / "kvdistill/room/tasks.yaml").is_file()
    assert not (first / "kvdistill/room/__pycache__").exists()
    assert sorted(path.name for path in (tmp_path / "code").iterdir()) == sorted(
        [first.name, second.name]
    )


def test_a_command_copies_once_and_writes_nothing_below_its_root_before_it_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.cluster import code_snapshot

    monkeypatch.setattr(code_snapshot, "hash_package", lambda *_: "abc")
    monkeypatch.setattr(code_snapshot, "take_temporary_snapshot", lambda: Path("elsewhere"))
    assert code_snapshot.take_early_snapshot(tmp_path) == Path("elsewhere")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "code/abc").mkdir(parents=True)
    assert code_snapshot.take_early_snapshot(tmp_path) == tmp_path / "code/abc"


def test_a_process_on_the_copy_names_it_in_its_manifests(tmp_path: Path) -> None:
    from kvdistill.cluster.code_snapshot import take_snapshot
    from kvdistill.manifest import run_git

    code = take_snapshot(tmp_path)
    script = "from kvdistill import manifest; print(manifest.read_code_origin())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(code)},
    )  # fmt: skip
    assert code.name in done.stdout
    assert str(run_git("rev-parse", "HEAD")) in done.stdout


def test_what_is_hidden_or_elsewhere_is_not_copied(tmp_path: Path) -> None:
    from kvdistill.cluster.code_snapshot import take_snapshot

    source = package(tmp_path, "a = 1\n")
    first = take_snapshot(tmp_path, source)
    (tmp_path / "token").write_text("hf_secret")
    (source / ".env").write_text("HF_TOKEN=hf_secret")
    (source / ".git").mkdir()
    (source / ".git/credentials").write_text("hf_secret")
    (source / "room/link.py").symlink_to(tmp_path / "token")
    assert take_snapshot(tmp_path, source) == first
    copied = {p.name for p in first.rglob("*") if p.is_file()}
    assert copied == {"new.py", "tasks.yaml", "origin.json"}


def test_a_copy_is_named_by_what_it_holds_whatever_is_edited_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.cluster import code_snapshot

    source = package(tmp_path, "a = 1\n")
    copy = shutil.copyfile

    def edit_and_copy(path: Path, target: Path) -> None:
        if path.name == "new.py":
            path.write_text("a = 2\n")
        copy(path, target)

    monkeypatch.setattr(shutil, "copyfile", edit_and_copy)
    snapshot = code_snapshot.take_snapshot(tmp_path, source)
    assert snapshot.name == code_snapshot.hash_package(snapshot / "kvdistill")
