"""A GGUF file converted once is, to the bit, what transformers reads of it each time."""

from pathlib import Path
from typing import Any

import gguf
import pytest
import torch

from kvdistill.models.gguf.convert import convert_gguf
from kvdistill.models.nano_tokenizer import train_tokenizer
from kvdistill.models.pretrained import Pretrained
from tests.models.gguf_files import count_readers
from tests.models.test_model_folder import TEXTS, write_gguf_folder

LEFT_OUT = {"_name_or_path", "transformers_version", "architectures"}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(["one two three 12"], 300, 1)


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that gguf has parsed."""
    return count_readers(monkeypatch)


def convert(source: Pretrained, out: Path, dtype: torch.dtype = torch.float32) -> Pretrained:
    out.mkdir()
    convert_gguf(source, dtype, out, lambda *_: None)
    return Pretrained(path=str(out))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_weights_settings_and_ids_are_equal_to_the_bit(
    tmp_path: Path, tokenizer: Any, kind: str, dtype: torch.dtype
) -> None:
    source = write_gguf_folder(tmp_path, tokenizer, kind)
    copy = convert(source, tmp_path / "out", dtype)
    own, read = source.load_model(dtype), copy.load_model(dtype)
    for name, value in own.state_dict().items():
        assert read.state_dict()[name].dtype == value.dtype == dtype
        assert torch.equal(read.state_dict()[name], value), name
    for settings in ("config", "generation_config"):
        one, other = (getattr(model, settings).to_dict() for model in (own, read))
        assert {k: v for k, v in one.items() if k not in LEFT_OUT} == {
            k: v for k, v in other.items() if k not in LEFT_OUT
        }
    assert (
        copy.load_body(dtype, 2).state_dict().keys()
        == source.load_body(dtype, 2).state_dict().keys()
    )
    one, other = source.load_tokenizer(), copy.load_tokenizer()
    assert one.backend_tokenizer.to_str() == other.backend_tokenizer.to_str()
    assert one.special_tokens_map == other.special_tokens_map
    assert type(one) is type(other)
    assert [one(text).input_ids for text in TEXTS] == [other(text).input_ids for text in TEXTS]


def test_the_file_is_parsed_once_and_its_tensors_are_counted(
    tmp_path: Path, tokenizer: Any, readers: list[str]
) -> None:
    source = write_gguf_folder(tmp_path, tokenizer, "llama")
    source.load_tokenizer()
    source.load_model(torch.float32)
    assert readers.count("model.gguf") > 1
    readers.clear()
    (tmp_path / "out").mkdir()
    shown: list[tuple[int, int]] = []
    facts = convert_gguf(
        source, torch.float32, tmp_path / "out", lambda done, to_do: shown.append((done, to_do))
    )
    assert readers.count("model.gguf") == 1
    assert shown == [(done, facts["tensors"]) for done in range(1, facts["tensors"] + 1)]
    assert facts["tensors"] > 10
    assert facts["gguf_file"] == "model.gguf"


def test_the_names_of_an_architectures_tensors_are_made_once(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    make = gguf.get_tensor_name_map
    monkeypatch.setattr(gguf, "get_tensor_name_map", lambda *of: (made.append(of), make(*of))[1])
    source = write_gguf_folder(tmp_path, tokenizer, "llama")
    source.load_model(torch.float32)
    assert len(made) > 30  # once a module
    made.clear()
    convert(source, tmp_path / "out")
    assert len(made) == 1


def test_afterwards_the_library_is_as_it_was(tmp_path: Path, tokenizer: Any) -> None:
    before = gguf.GGUFReader, gguf.dequantize, gguf.get_tensor_name_map
    source = write_gguf_folder(tmp_path, tokenizer, "llama")
    convert(source, tmp_path / "out")
    assert (gguf.GGUFReader, gguf.dequantize, gguf.get_tensor_name_map) == before
