"""A training that makes room and goes on ends as one left alone, however its student was loaded."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.models.test_model_folder import SOURCES

GEOMETRY = {
    "layers": 3, "hidden_size": 16, "intermediate_size": 32, "heads": 4, "kv_heads": 2,
    "head_dim": 4, "tied_embeddings": True,
}  # fmt: skip
STEPS = 4
KINDS = [
    ("gguf", "lora"),
    ("gguf cut", "none"),
    *(
        pytest.param(kind, adapter, marks=pytest.mark.slow)
        for kind, adapter in (
            ("safetensors", "none"), ("gguf", "none"), ("gguf qwen2", "none"), ("gguf cut", "lora"),
        )
    ),
]  # fmt: skip
pytestmark = [
    pytest.mark.usefixtures("hydra"),
    pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing.*:FutureWarning"),
]


@pytest.fixture(autouse=True)
def _forget_request() -> Iterator[None]:
    """A request to make room is this test's alone."""
    from kvdistill import preemption

    yield
    preemption._requested.clear()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from kvdistill.models.nano_tokenizer import train_tokenizer

    return train_tokenizer(["Question: one two three 12\nReasoning: so #### 3"], 300, 1)


@pytest.fixture
def split(hydra: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split of generated questions, built once."""
    from kvdistill.config.compose import compose
    from kvdistill.jobs.builders import build_split

    folder = tmp_path_factory.getbasetemp() / "resume-split"
    if not folder.exists():
        folder.mkdir()
        build_split(compose(["data.source.rows=70"]), {}, folder, lambda *_: None)
    return folder


def write_config(source: Any, tokens: int, adapter: str) -> dict[str, Any]:
    """SFT of a student that lies where `source` says, in four steps of two texts."""
    from dataclasses import asdict

    from kvdistill.config.compose import compose

    config = compose(
        [
            "arm=sft", f"adapter={adapter}", "train.lr=1e-2", "train.eval_texts=4",
            "train.eval_steps=2", "train.eval_tasks=0", "budget.batch_size=2", "budget.seq_len=512",
            f"budget.total_tokens={STEPS * 2 * 512}", "style=direct",
        ]
    )  # fmt: skip
    keep = {"layers": 2} if "cut" in str(source.path) else {}
    config["student"] = {
        "name": "own",
        "pretrained": {"_target_": "kvdistill.models.pretrained.Pretrained", **asdict(source)},
        "geometry": GEOMETRY | {"vocab_size": tokens} | keep,
        "dtype": "float32",
        "placement": {"device": "auto", "shard": "none"},
    }
    return dict(config)


@pytest.mark.integration
@pytest.mark.parametrize(("kind", "adapter"), KINDS)
def test_a_training_that_makes_room_goes_on_at_its_step_and_ends_in_the_same_bits(
    tmp_path: Path, split: Path, tokenizer: Any, kind: str, adapter: str
) -> None:
    from kvdistill import preemption
    from kvdistill.preemption import Preempted, request
    from kvdistill.train.run import train_student

    (tmp_path / "student").mkdir()
    source = SOURCES[kind](tmp_path / "student", tokenizer)
    config = write_config(source, len(tokenizer), adapter)

    def train(name: str, progress: Callable[[int, int], None]) -> dict[str, Any]:
        (tmp_path / name).mkdir(exist_ok=True)
        return train_student(config, {"split": split}, tmp_path / name, progress)

    train("alone", lambda *_: None)
    with pytest.raises(Preempted):
        train("stopped", lambda step, _: request() if step == 2 else None)
    assert not (tmp_path / "stopped/model").exists()
    preemption._requested.clear()
    assert train("stopped", lambda *_: None)["resumed_from"] == 2
    for file in ("model/model.safetensors", "model/tokenizer.json", "model/config.json"):
        one, other = ((tmp_path / name / file).read_bytes() for name in ("alone", "stopped"))
        assert one == other, file


def read_validations(folder: Path) -> list[dict[str, Any]]:
    """The curves' validation lines, less what is measured."""
    lines = map(json.loads, (folder / "curves.jsonl").read_text().splitlines())
    return [line | {"train_s": 0} for line in lines if line["split"] == "val"]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("stopped_at", "within"), [(0, "texts"), (2, "texts"), (STEPS, "texts"), (2, "tasks")]
)
def test_a_validation_is_left_where_it_stands_and_made_after_the_resume(
    tmp_path: Path, split: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch,
    stopped_at: int, within: str,
) -> None:  # fmt: skip
    from kvdistill import preemption
    from kvdistill.preemption import Preempted
    from kvdistill.train import validation
    from kvdistill.train.run import train_student

    (tmp_path / "student").mkdir()
    source = SOURCES["safetensors"](tmp_path / "student", tokenizer)
    config = write_config(source, len(tokenizer), "none")
    config["train"]["eval_tasks"] = 1
    read_batch, step, batches = validation.read_batch, 0, list[int]()
    asked_at: int | None = None

    def read_and_note(*given: Any) -> Any:
        batches.append(step)
        if (step, within) == (asked_at, "texts") and batches.count(step) == 1:
            preemption.request()
        return read_batch(*given)

    def score(student: Any) -> dict[str, dict[str, float]]:
        if (step, within) == (asked_at, "tasks"):
            preemption.request()
            raise Preempted  # as the tasks' own loop does
        return {"val": {"macro": float(student.get_input_embeddings().weight.detach().sum())}}

    def note_step(done: int, _: int) -> None:
        nonlocal step
        step = done

    monkeypatch.setattr(validation, "read_batch", read_and_note)

    def train(name: str) -> dict[str, Any]:
        note_step(0, STEPS)
        batches.clear()
        (tmp_path / name).mkdir(exist_ok=True)
        return train_student(config, {"split": split}, tmp_path / name, note_step, score)

    train("alone")
    assert batches == [0, 0, 2, 2, STEPS, STEPS]
    asked_at = stopped_at
    with pytest.raises(Preempted):
        train("stopped")
    assert (step, batches.count(step)) == (stopped_at, 1 if within == "texts" else 2)
    asked_at = None
    preemption._requested.clear()
    assert train("stopped")["resumed_from"] == stopped_at
    assert read_validations(tmp_path / "stopped") == read_validations(tmp_path / "alone")
    for file in ("model/model.safetensors", "validation_texts.json"):
        one, other = ((tmp_path / name / file).read_bytes() for name in ("alone", "stopped"))
        assert one == other, file
