"""Weights are read from safetensors; a pickle is refused unless it is allowed by name."""

import pickle
from pathlib import Path

import pytest
import torch

from tests.models.pickles import PickleBomb
from tests.train.conftest import TEACHERS, make_model


def save_model(folder: Path) -> dict:
    """A tiny model's folder; its weights."""
    model = make_model(TEACHERS["b"], "llama", seed=3)
    model.save_pretrained(folder)
    return model.state_dict()


def test_a_pickle_is_refused_and_not_read(tmp_path: Path) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.models.pretrained import Pretrained

    save_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with (tmp_path / "pytorch_model.bin").open("wb") as file:
        pickle.dump(PickleBomb(tmp_path / "ran"), file, protocol=2)
    source = Pretrained(path=str(tmp_path))
    for load in (
        lambda: source.load_model(torch.float32),
        lambda: source.load_body(torch.float32, 1),
    ):
        with pytest.raises(ConfigError, match=r"^pretrained: .* has no safetensors"):
            load()
    assert not (tmp_path / "ran").exists()


def test_what_lies_beside_safetensors_is_not_looked_at(tmp_path: Path) -> None:
    from kvdistill.models.pretrained import Pretrained

    save_model(tmp_path)
    with (tmp_path / "pytorch_model.bin").open("wb") as file:
        pickle.dump(PickleBomb(tmp_path / "ran"), file, protocol=2)
    Pretrained(path=str(tmp_path)).load_model(torch.float32)
    assert not (tmp_path / "ran").exists()


def test_allowed_by_name_it_is_read_without_running_it(tmp_path: Path) -> None:
    from kvdistill.models.pretrained import Pretrained

    weights = save_model(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    model = Pretrained(path=str(tmp_path), pickle=True).load_model(torch.float32)
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])
    with (tmp_path / "pytorch_model.bin").open("wb") as file:
        pickle.dump(PickleBomb(tmp_path / "ran"), file, protocol=2)
    with pytest.raises(Exception, match=r"[Ww]eights"):
        Pretrained(path=str(tmp_path), pickle=True).load_model(torch.float32)
    assert not (tmp_path / "ran").exists()


def test_a_gguf_file_without_its_package_is_refused_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one line, where transformers raises an ImportError of its own."""
    from kvdistill.errors import ConfigError
    from kvdistill.models import pretrained

    monkeypatch.setattr(pretrained, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"gguf_file=a\.gguf needs .* -e '\.\[gguf\]'"):
        pretrained.Pretrained(path="x", gguf_file="a.gguf")
    pretrained.Pretrained(path="x")  # a folder, as a conversion is, needs nothing of it
