"""A nano student cut from a nano teacher."""

import json

import pytest
import torch

from kvdistill.config.build import build_node
from kvdistill.data.sources.nano import Nano as Source
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models.pretrained import Pretrained

pytestmark = pytest.mark.usefixtures("hydra")


@pytest.fixture
def split(tmp_path):
    """A split with the teachers' half alone."""
    lines = [json.dumps(vars(record)) for record in Source(rows=6, seed=0).records()]
    (tmp_path / "train_teachers.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def made(node, split, out):
    recipe = build_node("student.build", node["build"])
    recipe.build(Geometry.of(node), split, out, lambda *_: None)
    return Pretrained(path=str(out))


@pytest.fixture
def configs():
    from kvdistill.config.compose import compose

    quick = ["student.build.parent.build.training.steps=2", "teachers.a.build.training.steps=2"]
    return compose(["student=nano_third", "teachers=single", *quick])


def test_its_layers_and_tokenizer_are_its_teachers_own(configs, split, tmp_path):
    teacher = made(configs["teachers"]["a"], split, tmp_path / "teacher")
    student = made(configs["student"], split, tmp_path / "student")
    whole, half = (each.model(torch.float32).state_dict() for each in (teacher, student))
    for name, value in half.items():
        if ".layers." in name:
            number = int(name.split(".")[2])
            name = name.replace(f".layers.{number}.", f".layers.{3 * number}.")
        assert torch.equal(whole[name], value), name
    assert teacher.tokenizer().get_vocab() == student.tokenizer().get_vocab()
    text = next(iter(Source(rows=1, seed=0).records())).question
    assert teacher.tokenizer()(text) == student.tokenizer()(text)


def test_a_layer_outside_its_parent_is_refused(configs, split, tmp_path):
    configs["student"]["build"]["keep"] = [0, 6]
    with pytest.raises(ConfigError, match=r"student\.build\.keep=\[0, 6\] must name layers 0 to 5"):
        made(configs["student"], split, tmp_path)
