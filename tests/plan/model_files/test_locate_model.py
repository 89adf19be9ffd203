"""A path or a repository names a model; what is none is refused with what it holds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvdistill.errors import ConfigError
from kvdistill.plan.model_files.locate_model import locate_model
from tests.hub_server import HubServer, make_commit, open_hub
from tests.models.gguf_files import write_header

GEOMETRY = {
    "layers": 4, "hidden_size": 32, "intermediate_size": 64, "heads": 4, "kv_heads": 2,
    "head_dim": 8, "vocab_size": 300, "tied_embeddings": False,
}  # fmt: skip
CONFIG = {"model_type": "qwen2", "num_hidden_layers": 7, "dtype": "bfloat16"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with a whole model and one that holds a GGUF file alone."""
    with open_hub(tmp_path, monkeypatch, gated=("gated/model",)) as server:
        for name, files in {
            "one/model": ("config.json", "tokenizer.json", "model.safetensors", "code.py"),
            "one/packed": ("a.gguf",), "gated/model": ("config.json",),
        }.items():  # fmt: skip
            (server.folder / name).mkdir(parents=True)
            for file in files:
                (server.folder / name / file).write_text(json.dumps(CONFIG))
        yield server


def test_a_folder_its_config_and_a_gguf_file_name_the_same(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    model = locate_model(str(tmp_path))
    assert model.source == {"path": str(tmp_path)}
    assert locate_model(str(tmp_path / "config.json")) == model
    assert model.geometry == {"layers": 7}
    write_header(tmp_path / "a.gguf", GEOMETRY, "qwen2")
    assert locate_model(str(tmp_path)) == model
    packed = locate_model(str(tmp_path / "a.gguf"))
    assert packed.source == {"path": str(tmp_path), "gguf_file": "a.gguf"}
    assert packed.geometry == GEOMETRY
    assert packed.settings["model_type"] == "qwen2"
    (tmp_path / "config.json").unlink()
    assert locate_model(str(tmp_path)) == packed


def test_a_relative_path_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path.parent)
    assert locate_model(tmp_path.name).source == {"path": str(tmp_path)}


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="model=nowhere is no folder or GGUF file here, and no"):
        locate_model("nowhere")
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        locate_model(str(tmp_path))
    for name in ("a.gguf", "b.gguf"):
        write_header(tmp_path / name, GEOMETRY)
    with pytest.raises(ConfigError, match=r"several GGUF files: a\.gguf, b\.gguf\. Name one"):
        locate_model(str(tmp_path))


def test_of_a_repository_config_and_tokenizer_are_read_and_its_commit_is_kept(
    hub: HubServer, tmp_path: Path
) -> None:
    model = locate_model("one/model")
    commit = make_commit(hub.folder / "one/model")
    assert model.source == {"hub": "one/model", "revision": commit}
    assert model.geometry == {"layers": 7}
    kept = tmp_path / f"cache/models--one--model/snapshots/{commit}"
    assert {path.name for path in kept.iterdir()} == {"config.json", "tokenizer.json"}
    assert not any("safetensors" in path for path in hub.paths)


def test_jobs_without_a_network_still_miss_the_weights(hub: HubServer) -> None:
    from kvdistill.plan.hub_models import PRETRAINED, check_hub_cache

    source = locate_model("one/model").source
    with pytest.raises(ConfigError, match="is not in the cache"):
        check_hub_cache([{"student": {"pretrained": {"_target_": PRETRAINED, **source}}}])


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("one/nothing", r"is not here and not to be had from the hub: RepositoryNotFound"),
        ("one/model@v2", r"at v2 is not here and not to be had from the hub: RevisionNotFound"),
        ("one/packed", r"gives no config\.json: it holds GGUF files alone"),
        ("gated/model", r"its licence is not accepted"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_a_repository_that_is_not_to_be_had_is_refused_with_the_reason(
    name: str, fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        locate_model(name)
