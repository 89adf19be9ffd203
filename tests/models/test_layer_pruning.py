"""A student cut from a pretrained model, and one cut from a nano teacher."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.train.conftest import STUDENT, make_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A five-layer Llama with a tokenizer, as a Hugging Face folder."""
    from kvdistill.models.nano_tokenizer import train_tokenizer

    source = tmp_path / "source"
    make_model(STUDENT | {"layers": 5, "vocab_size": 300}, "llama").save_pretrained(source)
    train_tokenizer(["one two three"], 300, 1).save_pretrained(source)
    return source


def prune(folder: Path, keep: list[int]) -> Any:
    from kvdistill.geometry import Geometry
    from kvdistill.models.layer_pruning import Pruned
    from kvdistill.models.pretrained import Pretrained

    out = folder.parent / "out"
    recipe = Pruned(source=Pretrained(path=str(folder)), keep=keep)
    recipe.build(Geometry(**STUDENT), None, out, lambda *_: None)
    return Pretrained(path=str(out))


def test_the_kept_layers_are_those_of_the_source_and_the_rest_is_unchanged(folder: Path) -> None:
    import torch

    from kvdistill.models.pretrained import Pretrained

    source = Pretrained(path=str(folder)).load_model(torch.float32)
    student = prune(folder, [0, 2, 4]).load_model(torch.float32)
    assert student.config.num_hidden_layers == 3
    theirs, ours = source.state_dict(), student.state_dict()
    for name, value in ours.items():
        if ".layers." in name:
            number = int(name.split(".")[2])
            name = name.replace(f".layers.{number}.", f".layers.{2 * number}.")
        assert torch.equal(theirs[name], value), name


def test_it_generates_with_a_cache_of_its_own_depth(folder: Path) -> None:
    import torch

    student = prune(folder, [1, 3]).load_model(torch.float32)
    out = student.generate(
        torch.tensor([[5, 6]]), max_new_tokens=3, do_sample=False, pad_token_id=0
    )
    assert out.shape[1] <= 5


def test_a_layer_outside_the_source_is_refused_by_name(folder: Path) -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=r"student\.build\.keep=\[0, 5\] must name layers 0 to 4"):
        prune(folder, [0, 5])


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """A split with the teachers' half alone."""
    from kvdistill.data.sources.nano import Nano

    lines = [json.dumps(vars(record)) for record in Nano(rows=6, seed=0).records()]
    (tmp_path / "train_teachers.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def nano_config(hydra: None) -> dict[str, Any]:
    """A nano teacher and the student cut from it, both trained for two steps."""
    from kvdistill.config.compose import compose

    quick = ["student.build.parent.build.training.steps=2", "teachers.a.build.training.steps=2"]
    return compose(["student=nano_third", "teachers=single", *quick])


def build_model(node: dict[str, Any], split: Path, out: Path) -> Any:
    """Where the weights of a config node lie, once its recipe has built them."""
    from kvdistill.config.build import build_node
    from kvdistill.geometry import Geometry
    from kvdistill.models.pretrained import Pretrained

    recipe = build_node("student.build", node["build"])
    recipe.build(Geometry.from_node(node), split, out, lambda *_: None)
    return Pretrained(path=str(out))


@pytest.mark.integration
def test_its_layers_and_tokenizer_are_its_teachers_own(
    nano_config: dict[str, Any], split: Path, tmp_path: Path
) -> None:
    import torch

    from kvdistill.data.sources.nano import Nano

    teacher = build_model(nano_config["teachers"]["a"], split, tmp_path / "teacher")
    student = build_model(nano_config["student"], split, tmp_path / "student")
    theirs, ours = (each.load_model(torch.float32).state_dict() for each in (teacher, student))
    for name, value in ours.items():
        if ".layers." in name:
            number = int(name.split(".")[2])
            name = name.replace(f".layers.{number}.", f".layers.{3 * number}.")
        assert torch.equal(theirs[name], value), name
    assert teacher.load_tokenizer().get_vocab() == student.load_tokenizer().get_vocab()
    text = next(iter(Nano(rows=1, seed=0).records())).question
    assert teacher.load_tokenizer()(text) == student.load_tokenizer()(text)


@pytest.mark.integration
def test_a_layer_outside_its_parent_is_refused(
    nano_config: dict[str, Any], split: Path, tmp_path: Path
) -> None:
    from kvdistill.errors import ConfigError

    nano_config["student"]["build"]["keep"] = [0, 6]
    with pytest.raises(ConfigError, match=r"student\.build\.keep=\[0, 6\] must name layers 0 to 5"):
        build_model(nano_config["student"], split, tmp_path)


@pytest.mark.parametrize("name", ["Llama", "GPT-2", "OPT"])
def test_layers_are_renumbered_whatever_the_model_calls_them(name: str) -> None:
    import torch

    from kvdistill.models.decoder import find_layer_list
    from kvdistill.models.layer_pruning import renumber_layers
    from tests.house.families import build_config, build_model

    model = build_model(build_config(name))
    layers, state = find_layer_list(model), model.state_dict()
    kept = renumber_layers(state, layers, [1])
    inside = {name for name in kept if name.startswith(f"{layers}.")}
    assert inside
    assert all(name.startswith(f"{layers}.0.") for name in inside)
    assert all(torch.equal(kept[n], state[n.replace(f"{layers}.0.", f"{layers}.1.")])
               for n in inside)  # fmt: skip
    assert {n for n in state if not n.startswith(layers)} == kept.keys() - inside


def test_a_layer_that_computes_by_its_number_is_not_moved() -> None:
    from transformers import GPT2Config

    from kvdistill.errors import ConfigError
    from kvdistill.models.layer_pruning import select_config_layers

    config = GPT2Config(n_layer=4, scale_attn_by_inverse_layer_idx=True)
    with pytest.raises(ConfigError, match=r"computes by its number \(scale_attn_by_inverse"):
        select_config_layers(config, [0, 2])


def test_layers_of_unlike_kinds_are_refused_from_the_config_alone(tmp_path: Path) -> None:
    from transformers import Qwen3MoeConfig

    from kvdistill.errors import ConfigError
    from kvdistill.geometry import Geometry
    from kvdistill.models.layer_pruning import Pruned
    from kvdistill.models.pretrained import Pretrained

    # Every second layer is a mixture of experts, counted by its number.
    Qwen3MoeConfig(
        hidden_size=16, intermediate_size=8, num_hidden_layers=4, num_attention_heads=2,
        num_key_value_heads=2, vocab_size=32, decoder_sparse_step=2, num_experts=2,
        moe_intermediate_size=8,
    ).save_pretrained(tmp_path)  # fmt: skip

    def read_config(keep: list[int]) -> Any:
        return Pruned(source=Pretrained(path=str(tmp_path)), keep=keep).read_config(
            Geometry(**STUDENT)
        )

    assert read_config([0, 1]).num_hidden_layers == 2
    with pytest.raises(ConfigError, match=r"keep=\[1, 2\]: model.layers.0.mlp.*differ by their"):
        read_config([1, 2])
