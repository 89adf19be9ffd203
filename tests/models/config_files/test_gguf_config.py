"""The config from a GGUF file's header is the one that transformers reads of the whole file."""

from pathlib import Path
from typing import Any

import gguf
import pytest
from transformers import AutoConfig, AutoTokenizer

from kvdistill.errors import ConfigError
from kvdistill.models.config_files.gguf_config import read_header_config
from kvdistill.models.nano_tokenizer import train_tokenizer
from tests.models.gguf_files import count_readers, write_header
from tests.models.test_model_folder import write_gguf_folder

GEOMETRY = {
    "layers": 2, "hidden_size": 32, "intermediate_size": 64, "heads": 4, "kv_heads": 2,
    "head_dim": 8, "vocab_size": 300, "tied_embeddings": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(["one two three 12"], 300, 1)


def drop_name(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.to_dict().items() if key != "_name_or_path"}


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_it_is_transformers_own(tmp_path: Path, tokenizer: Any, kind: str) -> None:
    source = write_gguf_folder(tmp_path, tokenizer, kind)
    expected = AutoConfig.from_pretrained(**source.load_kwargs)
    config = read_header_config(Path(str(source.path)) / str(source.gguf_file))
    assert type(config) is type(expected)
    assert drop_name(config) == drop_name(expected)


def test_tokens_are_counted_where_no_size_of_the_vocabulary_is_stated(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(2)
    writer.add_token_list(["a"] * 77)
    writer.add_eos_token_id(76)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    expected = AutoConfig.from_pretrained(tmp_path, gguf_file=path.name)
    assert expected.vocab_size == 77
    assert drop_name(read_header_config(path)) == drop_name(expected)


def test_a_family_that_transformers_reads_from_the_header_alone_is_read_as_well(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "lfm2")
    for key, value in (
        ("context_length", 99), ("embedding_length", 32), ("feed_forward_length", 64),
        ("block_count", 2), ("attention.head_count", 4), ("shortconv.l_cache", 3),
    ):  # fmt: skip
        writer.add_uint32(f"lfm2.{key}", value)
    writer.add_array("lfm2.attention.head_count_kv", [0, 2])
    writer.add_float32("lfm2.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_float32("lfm2.rope.freq_base", 1e6)
    writer.add_token_list(["a"] * 77)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    expected = AutoConfig.from_pretrained(tmp_path, gguf_file=path.name)
    config = read_header_config(path)
    assert config.vocab_size == 77
    assert drop_name(config) == drop_name(expected)


def test_an_architecture_that_transformers_does_not_read_is_refused_by_name(
    tmp_path: Path,
) -> None:
    write_header(tmp_path / "model.gguf", GEOMETRY, "mpt")
    with pytest.raises(ConfigError, match="GGUF file of a mpt, which transformers cannot read"):
        read_header_config(tmp_path / "model.gguf")


def test_a_tokenizer_is_the_same_and_parses_no_vocabulary_twice(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_gguf_folder(tmp_path, tokenizer, "qwen2")
    expected = AutoTokenizer.from_pretrained(**source.load_kwargs)
    expected.save_pretrained(tmp_path / "copy")
    expected = AutoTokenizer.from_pretrained(tmp_path / "copy")
    parsed = count_readers(monkeypatch)
    read = source.load_tokenizer()
    assert set(parsed) == {"header.gguf"}
    assert type(read) is type(expected)
    assert read.backend_tokenizer.to_str() == expected.backend_tokenizer.to_str()
    assert read.special_tokens_map == expected.special_tokens_map


def test_a_plan_reads_it_of_a_gguf_file(tmp_path: Path) -> None:
    from kvdistill.geometry import Geometry
    from kvdistill.models.pretrained import Pretrained

    write_header(tmp_path / "model.gguf", GEOMETRY)
    source = Pretrained(path=str(tmp_path), gguf_file="model.gguf")
    config = source.read_config(Geometry(**GEOMETRY))
    assert config.num_key_value_heads == 2
