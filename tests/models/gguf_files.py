"""A GGUF file of a tiny model, written as llama.cpp's converter would write it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]
KINDS = {
    "llama": (gguf.MODEL_ARCH.LLAMA, "smaug-bpe"),
    "qwen2": (gguf.MODEL_ARCH.QWEN2, "qwen2"),
}
"""Model type -> llama.cpp's name of the architecture and of how its text is split."""
ARCHITECTURES = {"qwen2.5": "qwen2", "gemma": "gemma3", "smollm2": "llama"}
"""Family, as a model's name begins -> llama.cpp's name of the architecture."""
NORMAL, CONTROL = 1, 3
GEOMETRY = {
    "layers": 4, "hidden_size": 32, "intermediate_size": 64, "heads": 4, "kv_heads": 2,
    "head_dim": 8, "vocab_size": 300, "tied_embeddings": False,
}  # fmt: skip
"""Of a model that its header alone is written of."""


def write_gguf(path: Path, model: Any, tokenizer: Any) -> None:
    """Writes both; the tokenizer must be byte-level BPE of as many tokens as the model has."""
    config = model.config
    architecture, splitting = KINDS[config.model_type]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    write_vocabulary(writer, tokenizer, splitting)
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, _, suffix = name.rpartition(".")
        writer.add_tensor(f"{names.get_name(stem)}.{suffix}", turn_pairs(name, value, config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_vocabulary(writer: Any, tokenizer: Any, splitting: str) -> None:
    """Its tokens, merges and special ids."""
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    vocabulary, special = tokenizer.get_vocab(), set(tokenizer.all_special_tokens)
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitting)
    writer.add_token_list(tokens)
    writer.add_token_types([CONTROL if token in special else NORMAL for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)


def turn_pairs(name: str, value: Any, config: Any) -> Any:
    """The numbers in llama.cpp's order: in a Llama the two halves of a rotation lie interleaved."""
    numbers = value.float().numpy()
    if config.model_type != "llama" or not ("q_proj" in name or "k_proj" in name):
        return numbers
    query = "q_proj" in name
    heads = config.num_attention_heads if query else config.num_key_value_heads
    halves = numbers.reshape(heads, 2, numbers.shape[0] // heads // 2, -1)
    return halves.swapaxes(1, 2).reshape(numbers.shape)


def write_header(path: Path, geometry: Mapping[str, Any], architecture: str = "llama") -> None:
    """A file of metadata alone, which states this geometry; its tensors would follow."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(geometry["layers"])
    writer.add_embedding_length(geometry["hidden_size"])
    writer.add_feed_forward_length(geometry["intermediate_size"])
    writer.add_head_count(geometry["heads"])
    writer.add_head_count_kv(geometry["kv_heads"])
    writer.add_key_length(geometry["head_dim"])
    writer.add_vocab_size(geometry["vocab_size"])
    if not geometry["tied_embeddings"]:
        writer.add_tensor("output.weight", np.zeros((2, 2), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_smollm2_header(folder: Path) -> None:
    """The file that the scale smollm reads, as far as a plan reads it."""
    node = yaml.safe_load((ROOT / "conf/teacher/smollm/small.yaml").read_text("utf-8"))
    write_header(folder / node["pretrained"]["gguf_file"], node["geometry"])


def write_qwen_headers(folder: Path) -> None:
    """The files that the scale qwen reads below its folder of models, likewise."""
    student = ROOT / "conf/student/qwen2_5_coder_0_5b.yaml"
    for path in (student, *(ROOT / "conf/teacher/qwen").glob("*.yaml")):
        node = yaml.safe_load(path.read_text("utf-8"))
        home = Path(node["pretrained"]["path"].replace("${models}", str(folder)))
        home.mkdir(exist_ok=True)
        architecture = ARCHITECTURES[node["name"].partition("-")[0]]
        write_header(home / node["pretrained"]["gguf_file"], node["geometry"], architecture)


def count_readers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From now on gets the name of every file that gguf parses."""
    parsed: list[str] = []

    class Counted(gguf.GGUFReader):
        def __init__(self, path: Any, *more: Any) -> None:
            parsed.append(Path(path).name)
            super().__init__(path, *more)

    monkeypatch.setattr(gguf, "GGUFReader", Counted)
    return parsed
