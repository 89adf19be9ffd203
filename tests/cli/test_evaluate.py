"""What stage=evaluate refuses, by the names of its own settings."""

from pathlib import Path

import pytest

from kvdistill.errors import ConfigError

pytestmark = pytest.mark.usefixtures("hydra")


def read(*overrides: str) -> dict:
    from kvdistill.cli.evaluate import read_request
    from kvdistill.config.compose import compose

    return read_request(compose(["stage=evaluate", *overrides]))[1]


@pytest.mark.parametrize(
    ("files", "more", "words"),
    [
        ([], [], "evaluate.model=FOLDER holds no config.json"),
        (["a.gguf"], [], "Name the GGUF file: evaluate.gguf_file=a.gguf"),
        (["a.gguf"], ["evaluate.gguf_file=b.gguf"], "evaluate.gguf_file=b.gguf is no file in"),
        (["config.json", "pytorch_model.bin"], [], "evaluate.model=FOLDER holds no safetensors"),
        (["config.json"], ["evaluate.dtype=int8"], "evaluate.dtype=int8 is none of float32"),
    ],
)
def test_a_folder_that_is_no_model_is_refused_by_evaluates_own_names(
    tmp_path: Path, files: list[str], more: list[str], words: str
) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigError) as refusal:
        read(f"evaluate.model={tmp_path}", *more)
    line = str(refusal.value)
    assert words.replace("FOLDER", str(tmp_path)) in line
    assert "student" not in line
    assert "pretrained.p" not in line


def test_a_file_in_the_place_of_a_folder_and_a_branch_in_that_of_a_commit_are_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match=r"is a file.*evaluate\.gguf_file=a\.gguf"):
        read(f"evaluate.model={tmp_path / 'a.gguf'}")
    for revision in ("null", "main"):
        with pytest.raises(ConfigError, match=r"evaluate\.revision must pin to a commit"):
            read("evaluate.model=a/b", f"evaluate.revision={revision}")


def test_a_gguf_file_and_a_commit_are_taken(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    place = [f"evaluate.model={tmp_path}", "evaluate.gguf_file=a.gguf"]
    assert read(*place)["pretrained"]["gguf_file"] == "a.gguf"
    commit = "0" * 40
    node = read("evaluate.model=a/b", f"evaluate.revision={commit!r}")
    assert node["pretrained"]["revision"] == commit


def test_a_run_whose_student_was_not_kept_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.cli import evaluate
    from kvdistill.plan.graph import Node

    recipe = {"trained": True, "arm": "sft", "student": {"dtype": "float32"}}
    monkeypatch.setattr(evaluate, "find_finished_run", lambda *_: tmp_path)
    monkeypatch.setattr(evaluate, "read_recipe", lambda _: Node("run", "seed1-a", recipe, {}))
    with pytest.raises(ConfigError, match=r"evaluate\.run=.*train\.keep_model=true"):
        evaluate.read_finished_run(tmp_path, "a", [])
    (tmp_path / "model").mkdir()
    assert evaluate.read_finished_run(tmp_path, "a", [])[1]["pretrained"]["path"] == str(
        tmp_path / "model"
    )
