"""What a config.json states is what transformers reads of it; what a class adds is not stated."""

import json
from pathlib import Path

import pytest
from transformers import (
    FalconConfig,
    Gemma3Config,
    GPT2Config,
    LlamaConfig,
    MixtralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from kvdistill.errors import ConfigError
from kvdistill.models.geometry import read_geometry
from kvdistill.plan.model_files.gguf_header import read_header
from kvdistill.plan.model_files.stated_geometry import (
    derive_head_dim,
    read_header_geometry,
    read_stated_geometry,
)
from tests.models.gguf_files import write_header

CONFIGS = (
    FalconConfig(), Gemma3Config(), GPT2Config(), LlamaConfig(), MixtralConfig(), OPTConfig(),
    Phi3Config(), Qwen2Config(), Qwen3Config(),
)  # fmt: skip


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_a_written_config_states_what_transformers_reads_of_it(
    tmp_path: Path, config: PreTrainedConfig
) -> None:
    config.save_pretrained(tmp_path)
    stated = read_stated_geometry(tmp_path / "config.json")
    assert stated
    expected = read_geometry(config)
    assert stated == {name: expected[name] for name in stated}


def test_null_and_a_value_a_layer_state_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"n_inner": None, "intermediate_size": [1, 2], "n_layer": 3}))
    assert read_stated_geometry(path) == {"layers": 3}


def test_the_width_of_heads_is_derived_where_none_is_stated() -> None:
    sizes = {"hidden_size": 896, "heads": 14}
    assert derive_head_dim(sizes) == {**sizes, "head_dim": 64}
    assert derive_head_dim({**sizes, "head_dim": 128})["head_dim"] == 128
    assert derive_head_dim({"heads": 14}) == {"heads": 14}


def test_a_header_means_what_the_format_says_of_what_it_leaves_out(tmp_path: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "phi2")
    writer.add_embedding_length(96)
    writer.add_head_count(6)
    writer.add_token_list(["a"] * 50)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert read_header_geometry(read_header(tmp_path / "a.gguf")) == {
        "hidden_size": 96, "heads": 6, "kv_heads": 6, "head_dim": 16, "vocab_size": 50,
        "tied_embeddings": True,
    }  # fmt: skip


def test_heads_that_differ_from_layer_to_layer_are_not_stated(tmp_path: Path) -> None:
    import gguf

    geometry = {
        "layers": 2, "hidden_size": 32, "intermediate_size": 64, "heads": 4, "kv_heads": [0, 2],
        "head_dim": 8, "vocab_size": 300, "tied_embeddings": True,
    }  # fmt: skip
    write_header(tmp_path / "a.gguf", geometry, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.LFM2])
    assert "kv_heads" not in read_stated_geometry(tmp_path / "a.gguf")


def test_a_config_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    for content in ("{", "[]"):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ConfigError, match=r"config\.json (cannot be read|holds no settings)"):
            read_stated_geometry(tmp_path / "config.json")
