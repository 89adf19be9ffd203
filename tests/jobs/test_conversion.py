"""A job converts a GGUF file; whoever reads the model then reads the outcome, never the file."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.files import read_json
from kvdistill.plan.frozen_recipe import seal_recipe
from tests.models.test_model_folder import SOURCES
from tests.train.test_resume import split, tokenizer, write_config  # noqa: F401

pytestmark = [
    pytest.mark.usefixtures("hydra"),
    pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning"),
]


def convert(root: Path, student: dict[str, Any]) -> Path:
    """The artefact of a model's node, made by a job of its own."""
    from kvdistill.jobs.__main__ import work_on_folder

    folder = root / "artifacts/conversion-a"
    folder.mkdir(parents=True)
    frozen = {"kind": "conversion", "needs": {}, "recipe": {"model": student}}
    (folder / "config.yaml").write_text(seal_recipe(frozen))
    assert work_on_folder(folder, None, "stopped") == 0
    return folder


def record_phases(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What jobs say that they are at, as they say it."""
    from kvdistill.status import StatusWriter

    phases: list[str] = []
    show = StatusWriter.show_phase
    monkeypatch.setattr(
        StatusWriter,
        "show_phase",
        lambda status, name: (phases.append(name), show(status, name))[1],
    )
    return phases


@pytest.mark.integration
def test_a_run_reads_the_conversion_alone_and_ends_in_the_bits_of_one_that_read_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    split: Path,  # noqa: F811
    tokenizer: Any,  # noqa: F811
) -> None:
    from kvdistill.status import StatusWriter, tell_phases_to
    from kvdistill.train.run import train_student

    (tmp_path / "student").mkdir()
    source = SOURCES["gguf"](tmp_path / "student", tokenizer)
    config = write_config(source, len(tokenizer), "none")

    def train(name: str, needs: dict[str, Path]) -> Path:
        (tmp_path / name).mkdir()
        train_student(config, {"split": split} | needs, tmp_path / name, lambda *_: None)
        return tmp_path / name

    from_file = train("from_file", {})
    folder = convert(tmp_path, config["student"])
    assert read_json(folder / "manifest.json")["tensors"] > 10
    (tmp_path / "student/model.gguf").unlink()
    phases = record_phases(monkeypatch)
    with tell_phases_to(StatusWriter(tmp_path)):
        converted = train("converted", {"student": folder})
    assert {"reading own", "reading the tokenizer of own"} < {*phases}
    tokenising = next(name for name in phases if name.startswith("tokenising "))
    assert tokenising.endswith(" texts of train_student")
    for file in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        one, other = ((each / "model" / file).read_bytes() for each in (from_file, converted))
        assert one == other, file


def test_its_status_counts_tensors(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tokenizer: Any,  # noqa: F811
) -> None:
    from kvdistill.status import StatusWriter

    steps: list[tuple[int, int]] = []
    monkeypatch.setattr(StatusWriter, "write_progress", lambda _, *step: steps.append(step))
    phases = record_phases(monkeypatch)
    (tmp_path / "student").mkdir()
    source = SOURCES["gguf"](tmp_path / "student", tokenizer)
    convert(tmp_path, write_config(source, len(tokenizer), "none")["student"])
    assert steps[0][0] == 1
    assert steps[-1][0] == steps[-1][1] == len(steps)
    assert phases[1:] == ["parsing model.gguf", "unpacking model.gguf", "writing conversion-a"]


def test_a_store_knows_its_teacher_by_the_file_whether_or_not_it_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.files import write_json
    from kvdistill.models.pretrained import Pretrained
    from kvdistill.train import inputs

    monkeypatch.setattr(inputs, "load_tokeniser", lambda *_: None)
    monkeypatch.setattr(inputs, "hash_tokeniser", lambda _: "same")
    source = Pretrained(path="/anywhere", gguf_file="a.gguf", sha256="a" * 64)
    teacher = write_config(source, 300, "none")["student"]
    config = {**compose(["source=store"]), "teachers": {"a": teacher}}
    for name in ("split", "conversion"):
        files = {f"{part}.jsonl": name for part in inputs.STORED_PARTS}
        write_json(tmp_path / name / "manifest.json", {"files": files})
    alone = {"split": tmp_path / "split"}
    read = inputs.fingerprint_reading(config, "a", alone)
    converted = {"teacher.a": tmp_path / "conversion"}
    assert inputs.fingerprint_reading(config, "a", alone | converted) == read
