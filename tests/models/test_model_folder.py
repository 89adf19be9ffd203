"""However a student was loaded, what is written of it is a plain folder that gives the same."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.full_finetune import Whole
from kvdistill.models.layer_pruning import Pruned
from kvdistill.models.lora import Lora
from kvdistill.models.model_folder import write_model_folder
from kvdistill.models.nano_tokenizer import train_tokenizer
from kvdistill.models.pretrained import Pretrained
from tests.models.gguf_files import write_gguf
from tests.train.conftest import STUDENT, make_model

TEXTS = ("one two  three", " 12 é\n\n你好", "<|endoftext|>x", "", "e\u0301 two")
CODE = """\
from transformers import LlamaConfig, LlamaForCausalLM
class OwnConfig(LlamaConfig):
    model_type = "own"
class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(["one two three 12"], 300, 1)


def make_student(tokenizer: Any, kind: str = "llama", **geometry: Any) -> Any:
    """A random model of as many tokens as there are."""
    return make_model(STUDENT | {"vocab_size": len(tokenizer)} | geometry, kind)


def write_folder(folder: Path, tokenizer: Any, dtype: str = "float32", **geometry: Any) -> Any:
    """A Hugging Face folder as published; where it lies."""
    model = make_student(tokenizer, **geometry).to(getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Pretrained(path=str(folder))


def write_gguf_folder(folder: Path, tokenizer: Any, kind: str) -> Pretrained:
    write_gguf(folder / "model.gguf", make_student(tokenizer, kind), tokenizer)
    return Pretrained(path=str(folder), gguf_file="model.gguf")


def cut_layers(source: Pretrained, out: Path) -> Pretrained:
    recipe = Pruned(source=source, keep=[0, 2])
    recipe.read_config(Geometry(**STUDENT))
    recipe.build(Geometry(**STUDENT), None, out, lambda *_: None)
    return Pretrained(path=str(out), trust_remote_code=source.trust_remote_code)


def write_own_code(folder: Path, tokenizer: Any) -> Pretrained:
    """A folder that brings its model's code."""
    make_student(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "own.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    config |= {"model_type": "own", "auto_map": classes, "architectures": ["OwnForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config))
    return Pretrained(path=str(folder), trust_remote_code=True)


def write_odd_generation(folder: Path, tokenizer: Any) -> Pretrained:
    """A folder whose generation_config.json transformers reads, but would not write."""
    source = write_folder(folder, tokenizer)
    odd = {"temperature": 0.6, "top_p": 0.9, "eos_token_id": [0, 1], "bos_token_id": 5}
    (folder / "generation_config.json").write_text(json.dumps(odd))
    return source


SOURCES: dict[str, Callable[[Path, Any], Pretrained]] = {
    "safetensors": write_folder,
    "bfloat16": lambda folder, t: write_folder(folder, t, "bfloat16"),
    "untied": lambda folder, t: write_folder(folder, t, tied_embeddings=False),
    "gguf": lambda folder, t: write_gguf_folder(folder, t, "llama"),
    "gguf qwen2": lambda folder, t: write_gguf_folder(folder, t, "qwen2"),
    "gguf cut": lambda folder, t: cut_layers(write_gguf_folder(folder, t, "qwen2"), folder / "cut"),
    "cut": lambda folder, t: cut_layers(write_folder(folder / "all", t), folder / "cut"),
    "own code": write_own_code,
    "own code cut": lambda folder, t: cut_layers(write_own_code(folder, t), folder / "cut"),
    "odd generation": write_odd_generation,
}
ADAPTERS = {
    "whole": Whole(),
    "lora": Lora(rank=2, alpha=4, dropout=0.0, targets=["q_proj", "k_proj", "v_proj"]),
}


def train_one_step(module: Any, ids: Any) -> None:
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for _ in range(2):  # LoRA's second factor is zero, so a first step moves the other alone
        module(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::UserWarning:transformers.generation")
@pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("source", SOURCES)
def test_what_is_written_of_a_trained_student_gives_its_logits_and_ids_bit_for_bit(
    tmp_path: Path, tokenizer: Any, source: str, adapter: str
) -> None:
    place = SOURCES[source](tmp_path, tokenizer)
    raw, read_tokenizer = place.load_model(torch.float32), place.load_tokenizer()
    ids = torch.tensor([read_tokenizer(TEXTS[0]).input_ids])
    before = raw(ids).logits.detach().clone()
    wrapped = ADAPTERS[adapter].wrap(raw)
    train_one_step(wrapped, ids)
    student = ADAPTERS[adapter].merge(wrapped).eval()
    after = student(ids).logits
    assert not torch.equal(after, before)
    out = tmp_path / "out"
    write_model_folder(student, read_tokenizer, out)
    written = Pretrained(path=str(out), trust_remote_code=place.trust_remote_code)
    copy = written.load_model(torch.float32).eval()
    assert torch.equal(copy(ids).logits, after)
    assert copy.config.tie_word_embeddings == student.config.tie_word_embeddings
    copied = written.load_tokenizer()
    for text in TEXTS:
        assert copied(text).input_ids == read_tokenizer(text).input_ids
    assert (copied.eos_token_id, copied.pad_token_id) == (
        read_tokenizer.eos_token_id, read_tokenizer.pad_token_id
    )  # fmt: skip
    assert "quantization" not in (out / "config.json").read_text()
    assert "gguf" not in (out / "config.json").read_text()


def test_a_gguf_files_weights_and_ids_are_those_that_were_put_in(
    tmp_path: Path, tokenizer: Any
) -> None:
    for kind in ("llama", "qwen2"):
        (tmp_path / kind).mkdir()
        place = write_gguf_folder(tmp_path / kind, tokenizer, kind)
        read = place.load_model(torch.float32).state_dict()
        for name, value in make_student(tokenizer, kind).state_dict().items():
            assert torch.equal(read[name], value), name
        body = place.load_body(torch.float32, 2)
        assert not hasattr(body, "hf_quantizer")
        assert len(body.layers) == 2


@pytest.mark.filterwarnings("ignore::UserWarning:transformers.generation")
def test_settings_of_generation_that_cannot_be_written_leave_the_token_ids(
    tmp_path: Path, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    place = write_odd_generation(tmp_path, tokenizer)
    model = place.load_model(torch.float32)
    model.generation_config.pad_token_id = 0  # what scoring changes on the way
    with caplog.at_level(logging.WARNING):
        write_model_folder(model, tokenizer, tmp_path / "out")
    assert "generation_config.json of the source cannot be written" in caplog.text
    written = json.loads((tmp_path / "out/generation_config.json").read_text())
    assert written["eos_token_id"] == [0, 1]
    assert (written["bos_token_id"], written["pad_token_id"]) == (5, 0)
    assert "temperature" not in written


PACKED = {
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 128},
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_4bit": True},
    "fp8": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}


@pytest.mark.parametrize("method", PACKED)
def test_packed_weights_are_refused_with_the_way_out(
    tmp_path: Path, tokenizer: Any, method: str
) -> None:
    place = write_folder(tmp_path, tokenizer)
    config = json.loads((tmp_path / "config.json").read_text())
    packed = config | {"quantization_config": PACKED[method]}
    (tmp_path / "config.json").write_text(json.dumps(packed))
    for load in (
        lambda: place.load_model(torch.float32),
        lambda: place.load_body(torch.float32, 1),
        place.load_config,
    ):
        with pytest.raises(ConfigError, match=rf"packed \({method}\).*dequantize\(\)"):
            load()
