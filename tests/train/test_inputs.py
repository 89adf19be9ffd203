"""A run reads each of its tokenizers once, however often it asks for it."""

from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from kvdistill.models import load
from kvdistill.models.nano_tokenizer import train_tokenizer
from kvdistill.train import inputs

TARGET = "kvdistill.models.pretrained.Pretrained"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return train_tokenizer(["one two three 12"], 300, 1)


@pytest.fixture
def reads(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The names of the models whose tokenizers were read."""
    names: list[str] = []
    real = load.load_tokenizer

    def read(node: Any, role: str, folder: Path | None) -> PreTrainedTokenizerBase:
        names.append(node["name"])
        return real(node, role, folder)

    monkeypatch.setattr(load, "load_tokenizer", read)
    for name in ("artifact/model", "own"):
        tokenizer.save_pretrained(tmp_path / name)
    return names


def name_model(name: str, folder: Path) -> dict[str, Any]:
    return {"name": name, "pretrained": {"_target_": TARGET, "path": str(folder)}}


def test_a_tokenizer_is_read_and_hashed_once(reads: list[str], tmp_path: Path) -> None:
    student, teacher = name_model("a", tmp_path / "gone"), name_model("b", tmp_path / "own")
    needs = {"student": tmp_path / "artifact"}
    for _ in range(2):
        own = inputs.load_tokeniser(student, "student", needs)
        other = inputs.load_tokeniser(teacher, "teacher.a", needs)
        assert inputs.hash_tokeniser(own) == inputs.hash_tokeniser(other)
    assert own is inputs.load_tokeniser(student, "student", needs)
    assert own is not other
    assert reads == ["a", "b"]


def test_one_that_was_written_anew_is_read_again(
    reads: list[str], tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    node = name_model("a", tmp_path / "own")
    first = inputs.load_tokeniser(node, "student", {})
    (tmp_path / "own/tokenizer.json").unlink()
    tokenizer.save_pretrained(tmp_path / "own")
    assert inputs.load_tokeniser(node, "student", {}) is not first
    assert reads == ["a", "a"]
