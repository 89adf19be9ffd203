"""Every choice of data and style builds from its YAML, and keeps its promises."""

import json
from pathlib import Path

import pytest
from hydra import compose
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kvdistill.data.build import DataSettings, build_data
from kvdistill.data.prompt_style import Style
from kvdistill.data.sources.base import Source
from kvdistill.data.split import Splitting, measure_task_shares

CONF = Path(__file__).parents[2] / "conf"


def list_choices(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def compose_config(*overrides):
    return compose("config", overrides=list(overrides))


@pytest.mark.parametrize("choice", list_choices("data"))
def test_every_data_choice_builds(hydra, choice):
    data = compose_config(f"data={choice}", "+benchmarks=somewhere").data
    if OmegaConf.is_missing(data.source, "path"):
        data.source.path = "somewhere"
    assert isinstance(instantiate(data.source, _convert_="object"), Source)
    splitting = instantiate(data.split, _convert_="object")
    assert splitting == Splitting(
        ratios=[0.70, 0.15, 0.15],
        salt=data.split.salt,
        max_student_rows=data.split.max_student_rows,
    )
    assert instantiate(data.leakage, _convert_="object").allow == []


@pytest.mark.parametrize("choice", list_choices("style"))
def test_every_style_builds(hydra, choice):
    assert isinstance(
        instantiate(compose_config(f"style={choice}").style, _convert_="object"), Style
    )


@pytest.mark.parametrize(
    "path", [*(CONF / "data").glob("*.yaml"), *(CONF / "style").glob("*.yaml")]
)
def test_every_choice_says_what_it_is_in_its_first_line(path):
    assert path.read_text("utf-8").startswith("# ")


def test_the_study_trains_its_student_on_15000_rows(hydra):
    data = compose_config("data=multi_reasoning").data
    assert data.split.max_student_rows == 15_000
    assert data.source.rows * data.split.ratios[0] / 2 > 15_000
    assert all(part.licence for part in data.source.parts.values())
    assert sum(part.weight for part in data.source.parts.values()) == pytest.approx(1)


HUB = {
    "gsm8k": lambda n: {"question": f"Ann has {n} plums?", "answer": f"So <<{n}={n}>>.\n#### {n}"},
    "math": lambda n: {
        "problem": f"Find $x={n}$.", "solution": "It is given.", "answer": str(n),
        "subject": "Algebra", "level": 1, "unique_id": f"train/{n}.json",
    },
    "aqua": lambda n: {
        "question": f"Which is {n}?", "options": [f"A){n}", "B)0"], "rationale": "A.",
        "correct": "A",
    },
    "ecqa": lambda n: {
        "q_no": str(n), "q_concept": "c", "q_text": f"Where is box {n}?",
        **{f"q_op{i}": f"place {i}" for i in range(1, 6)},
        "q_ans": "place 2", "taskA_pos": "p", "taskA_neg": "n", "taskB": "Boxes stand there.",
    },
    "school_math_zh": lambda n: {
        "instruction": f"\u5c0f\u660e\u6709{n}\u4e2a\u82f9\u679c?", "input": "",
        "output": f"1+1=2, \u4e00\u5171{n}\u4e2a\u3002",
    },
}  # fmt: skip
"""A row of each part with the columns that its publisher gives it."""


def test_every_part_of_the_studys_mixture_is_read_from_a_local_copy(hydra, tmp_path):
    for name, row in HUB.items():
        folder = tmp_path / name
        folder.mkdir()
        lines = [json.dumps(row(number)) + "\n" for number in range(10, 50)]
        (folder / "train.jsonl").write_text("".join(lines), encoding="utf-8")
        config = {"gsm8k": "main", "aqua": "raw"}.get(name, "default")
        (folder / "README.md").write_text(
            f"---\nconfigs:\n- config_name: {config}\n  data_files: train.jsonl\n---\n"
        )
    data = compose_config(
        "data=multi_reasoning", f"data.root={tmp_path}", "data.source.rows=100"
    ).data
    records = instantiate(data.source, _convert_="object").records()
    first = {}
    for each in records:
        first.setdefault(each.source, each)
    counts = {name: sum(each.source == name for each in records) for name in first}
    assert counts == {"gsm8k": 15, "math": 24, "aqua": 29, "ecqa": 15, "school_math_zh": 17}
    assert all(each.question and each.rationale and each.answer for each in records)
    assert first["gsm8k"].rationale == "So ."
    assert first["gsm8k"].answer in first["gsm8k"].question
    assert first["math"].rationale == "It is given."
    assert first["aqua"].question.endswith("\nB. 0")
    assert first["ecqa"].question.endswith("\nE. place 5")
    assert first["ecqa"].answer == "B"
    assert first["school_math_zh"].answer in first["school_math_zh"].question


@pytest.mark.integration
def test_nano_is_stratified_within_one_percent(hydra, tmp_path):
    """When the families change: `python -m tests.data.find_salt`, and its answer into nano.yaml."""
    data = compose_config("data=nano").data
    source = instantiate(data.source, _convert_="object")
    split = instantiate(data.split, _convert_="object")(source.records())
    for task in measure_task_shares(split).values():
        assert task == pytest.approx({"train": 0.70, "val": 0.15, "test": 0.15}, abs=0.01)


@pytest.mark.integration
def test_nano_builds_without_a_leak(hydra, tmp_path):
    data = compose_config("data=nano").data
    settings = DataSettings(
        split=instantiate(data.split, _convert_="object"),
        leakage=instantiate(data.leakage, _convert_="object"),
    )
    report = build_data(instantiate(data.source, _convert_="object"), settings, tmp_path / "split")
    assert report["verdict"] == "clean"
    assert report["dropped"]["duplicates"] == 0
