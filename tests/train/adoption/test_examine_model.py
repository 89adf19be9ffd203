"""What a model will be refused for is found from its config and tokenizer alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.conftest import composed

__all__ = ["composed"]
LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 4,
    "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "head_dim": 8,
    "num_key_value_heads": 2, "vocab_size": 300, "tie_word_embeddings": True,
}  # fmt: skip
MLA = LLAMA | {
    "model_type": "deepseek_v3", "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16,
    "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "n_routed_experts": 4,
    "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
}  # fmt: skip
FUSED = LLAMA | {"model_type": "phi3"}
NO_ROTARY = LLAMA | {"model_type": "opt", "ffn_dim": 64}


def write_model(folder: Path, config: dict[str, Any], *, tokenizer: bool = True) -> dict[str, Any]:
    """A folder without weights; its node."""
    from kvdistill.models.nano_tokenizer import train_tokenizer

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if tokenizer:
        train_tokenizer(["one two three 12"], 300, 1).save_pretrained(folder)
    geometry = {
        "layers": 4, "hidden_size": 32, "intermediate_size": 64, "heads": 4, "head_dim": 8,
        "kv_heads": config["num_key_value_heads"], "vocab_size": 300, "tied_embeddings": True,
    }  # fmt: skip
    return {
        "name": folder.name, "dtype": "float32", "geometry": geometry,
        "placement": {"device": "auto", "shard": "none"},
        "pretrained": {
            "_target_": "kvdistill.models.pretrained.Pretrained", "path": str(folder),
        },
    }  # fmt: skip


@pytest.fixture
def examine(tmp_path: Path, composed: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """Examines a teacher, of a config.json's content, beside a student of the same kind."""
    from kvdistill.train.adoption.examine_model import examine_model

    def run(config: dict[str, Any], *, tokenizer: bool = True, paired: bool = True) -> Any:
        whole = composed("projection=ridge")
        whole["teachers"] = {"a": write_model(tmp_path / "own", config, tokenizer=tokenizer)}
        whole["student"] = {**write_model(tmp_path / "s", LLAMA), "reads_split": False}
        return examine_model({"config": whole, "role": "teachers.a", "paired": paired})

    return run


def test_nothing_of_a_plain_model_is_refused(examine: Callable[..., Any]) -> None:
    answer = examine(LLAMA)
    assert answer["refusals"] == {}
    assert answer["tokens"]["student"]["same"] is True
    assert answer["tokens"]["student"]["shared_bytes"] == 1
    json.dumps(answer)  # it crosses a process


def test_a_fused_projection_is_captured(examine: Callable[..., Any]) -> None:
    assert examine(FUSED)["refusals"] == {}


def test_a_latent_cache_is_refused_for_keys_and_values_alone(examine: Callable[..., Any]) -> None:
    refusals = examine(MLA)["refusals"]
    assert "MLA" in refusals["keys and values"]
    assert "MLA" in refusals["this command's other settings"]
    assert "next-token distributions" not in refusals


def test_keys_that_nothing_turns_are_refused_where_they_are_turned(
    examine: Callable[..., Any],
) -> None:
    refusals = examine(NO_ROTARY, paired=False)["refusals"]
    assert "has no rotary embedding" in refusals["turned keys, and presses that read attention"]
    assert "keys and values" not in refusals


def test_a_model_without_a_tokenizer_is_refused_for_texts(examine: Callable[..., Any]) -> None:
    answer = examine(LLAMA, tokenizer=False)
    assert set(answer["refusals"]) == {"texts"}
    assert answer["tokens"]["student"] == {"fault": answer["refusals"]["texts"]}


def test_a_family_that_transformers_does_not_know_is_refused_whole(
    examine: Callable[..., Any],
) -> None:
    refusals = examine(LLAMA | {"model_type": "unheard_of"})["refusals"]
    assert "unheard_of" in refusals["its config"]
    assert "this command's other settings" not in refusals


def test_what_a_class_adds_to_its_config_is_read(tmp_path: Path) -> None:
    from kvdistill.train.adoption.examine_model import read_class_geometry

    config = {"model_type": "gpt2", "n_layer": 3, "n_embd": 12, "n_head": 2, "vocab_size": 9}
    (tmp_path / "config.json").write_text(json.dumps(config))
    source = {"_target_": "kvdistill.models.pretrained.Pretrained", "path": str(tmp_path)}
    assert read_class_geometry(source) == {
        "layers": 3, "hidden_size": 12, "intermediate_size": 48, "heads": 2, "kv_heads": 2,
        "head_dim": 6, "vocab_size": 9, "tied_embeddings": True,
    }  # fmt: skip
