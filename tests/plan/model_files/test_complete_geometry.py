"""A model's geometry comes from its own file, and a YAML's that differs is refused when planned."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kvdistill.errors import ConfigError
from tests.models.gguf_files import GEOMETRY, write_header

ROOT = Path(__file__).parents[3]
CONFIG = {
    "model_type": "llama", "num_hidden_layers": 4, "hidden_size": 32, "intermediate_size": 64,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300,
    "tie_word_embeddings": False,
}  # fmt: skip
GGUF = "model.gguf"


def write_files(folder: Path, kind: str, geometry: dict[str, Any] | None = None) -> dict[str, str]:
    """The model's file; what a YAML says of where it is."""
    folder.mkdir()
    if kind == GGUF:
        write_header(folder / GGUF, geometry or GEOMETRY)
        return {"path": str(folder), "gguf_file": GGUF}
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return {"path": str(folder)}


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[Path]:
    """A copy of conf/, for files of one's own."""
    from hydra import initialize_config_dir

    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        yield tmp_path / "conf"


def plan_student(conf: Path, source: dict[str, str], geometry: Any = None) -> dict[str, Any]:
    """The student's node as it is planned; `geometry` is what its YAML says."""
    from kvdistill.plan.requests.composer import Composer

    node = {
        "name": "own", "dtype": "float32",
        "pretrained": {"_target_": "kvdistill.models.pretrained.Pretrained", **source},
    }  # fmt: skip
    node |= {} if geometry is None else {"geometry": geometry}
    (conf / "student/own.yaml").write_text(yaml.safe_dump(node))
    config = Composer()(["student=own", "arm=sft", "stage=plan"], None)
    return dict(config["student"])


@pytest.mark.parametrize("kind", [GGUF, "config.json"])
def test_what_the_yaml_leaves_out_the_file_says_and_the_run_is_the_same(
    conf: Path, tmp_path: Path, kind: str
) -> None:
    from kvdistill.plan.identity import model_science

    source = write_files(tmp_path / "own", kind)
    without = plan_student(conf, source)
    assert without["geometry"] == GEOMETRY
    assert model_science(without) == model_science(plan_student(conf, source, GEOMETRY))


@pytest.mark.parametrize("kind", [GGUF, "config.json"])
def test_a_field_that_the_file_states_otherwise_is_refused(
    conf: Path, tmp_path: Path, kind: str
) -> None:
    source = write_files(tmp_path / "own", kind)
    for typed in ({"tied_embeddings": True}, {**GEOMETRY, "tied_embeddings": True}):
        with pytest.raises(ConfigError) as refusal:
            plan_student(conf, source, typed)
        assert str(refusal.value).startswith(
            "student.geometry.tied_embeddings is True but the model has False ("
        )
        assert f"own/{kind})" in str(refusal.value)


def test_a_default_that_the_file_contradicts_is_refused_and_one_that_holds_adds_nothing(
    conf: Path, tmp_path: Path
) -> None:
    short = {key: value for key, value in GEOMETRY.items() if key != "tied_embeddings"}
    with pytest.raises(ConfigError, match="tied_embeddings is True but the model has False"):
        plan_student(conf, write_files(tmp_path / "own", GGUF), short)
    tied = write_files(tmp_path / "tied", GGUF, {**GEOMETRY, "tied_embeddings": True})
    assert plan_student(conf, tied, short)["geometry"] == short


@pytest.mark.integration
def test_what_neither_states_must_be_given(conf: Path, tmp_path: Path) -> None:
    source = write_files(tmp_path / "own", "config.json")
    for key in ("num_key_value_heads", "tie_word_embeddings"):
        kept = {name: value for name, value in CONFIG.items() if name != key}
        (tmp_path / "own/config.json").write_text(json.dumps(kept))
        with pytest.raises(ConfigError, match=r"student\.geometry\.\w+ must be given: .*config"):
            plan_student(conf, source)
    assert plan_student(conf, source, {"tied_embeddings": False})["geometry"] == GEOMETRY


@pytest.mark.integration
def test_layers_that_the_file_does_not_have_are_refused(conf: Path, tmp_path: Path) -> None:
    from kvdistill.plan.requests.composer import Composer

    plan_student(conf, write_files(tmp_path / "own", GGUF))
    with pytest.raises(ConfigError, match=r"layers\.range"):
        Composer()(["student=own", "stage=plan", "layers.range='0-9'"], None)


def test_a_model_that_is_built_here_states_its_geometry(conf: Path) -> None:
    from kvdistill.config.compose import compose

    path = conf / "student/nano.yaml"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("geometry:")))
    with pytest.raises(ConfigError, match=r"geometry\.vocab_size|student\.geometry must be given"):
        compose(["student=nano"])


@pytest.mark.integration
def test_a_repository_that_is_not_in_the_cache_must_be_described(
    conf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    source = {"hub": "one/model", "revision": "a" * 40}
    with pytest.raises(ConfigError, match=r"geometry\.layers must be given: no file of it is at"):
        plan_student(conf, source)
    assert plan_student(conf, source, GEOMETRY)["geometry"] == GEOMETRY
    kept = tmp_path / f"cache/models--one--model/snapshots/{'a' * 40}"
    kept.mkdir(parents=True)
    (kept / "config.json").write_text(json.dumps({**CONFIG, "num_hidden_layers": 5}))
    assert plan_student(conf, source)["geometry"] == {**GEOMETRY, "layers": 5}
    with pytest.raises(ConfigError, match=r"geometry\.layers is 4 but the model has 5"):
        plan_student(conf, source, GEOMETRY)
