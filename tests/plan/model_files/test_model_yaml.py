"""An adopted model's YAML is one that the project would take, and overwrites no other."""

from pathlib import Path

import pytest
import yaml

from kvdistill.errors import ConfigError
from kvdistill.plan.model_files.locate_model import LocatedModel
from kvdistill.plan.model_files.model_yaml import (
    STUDENT,
    TEACHER,
    quote_yaml,
    render_model_files,
    write_model_files,
)

GEOMETRY = {
    "vocab_size": 300, "layers": 4, "hidden_size": 32, "intermediate_size": 64, "heads": 4,
    "kv_heads": 2, "head_dim": 8, "tied_embeddings": False,
}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> LocatedModel:
    (tmp_path / "config.json").write_text('{"model_type": "qwen2", "torch_dtype": "bfloat16"}')
    return LocatedModel({"path": str(tmp_path)}, tmp_path / "config.json")


def test_a_teacher_is_a_choice_and_a_set(model: LocatedModel) -> None:
    files = render_model_files("own", TEACHER, model, GEOMETRY)
    assert list(files) == ["teacher/own.yaml", "teachers/own.yaml"]
    node = yaml.safe_load(files["teacher/own.yaml"])
    assert node["geometry"] == GEOMETRY
    assert (node["dtype"], node["placement"]["shard"]) == ("auto", "auto")
    assert "reads_split" not in node
    assert yaml.safe_load(files["teachers/own.yaml"]) == {"defaults": [{"/teacher@a": "own"}]}


def test_a_student_is_trained_in_float32_and_whole(model: LocatedModel) -> None:
    files = render_model_files("own", STUDENT, model, GEOMETRY)
    node = yaml.safe_load(files["student/own.yaml"])
    assert (node["dtype"], node["placement"]["shard"]) == ("float32", "none")
    assert node["reads_split"] is False
    assert len(files) == 1


def test_names_that_yaml_would_read_otherwise_are_quoted() -> None:
    for value in ("1.5", "true", "a: b", "null", "# c", "a b"):
        assert yaml.safe_load(f"key: {quote_yaml(value)}") == {"key": value}
    with pytest.raises(ConfigError, match="a config would fill in"):
        quote_yaml("/a/${b}")


def test_a_file_that_says_otherwise_is_kept_and_nothing_is_written(tmp_path: Path) -> None:
    other = tmp_path / "teachers/own.yaml"
    other.parent.mkdir()
    other.write_text("# mine\n")
    files = {"teacher/own.yaml": "a: 1\n", "teachers/own.yaml": "b: 1\n"}
    with pytest.raises(ConfigError, match=r"teachers/own\.yaml exists and says otherwise"):
        write_model_files(tmp_path, files)
    assert other.read_text() == "# mine\n"
    assert not (tmp_path / "teacher").exists()
    other.write_text("b: 1\n")
    for _ in range(2):  # what is there already is no obstacle
        write_model_files(tmp_path, files)
        assert (tmp_path / "teacher/own.yaml").read_text() == "a: 1\n"
