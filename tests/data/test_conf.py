"""Every choice of data and style builds from its YAML, and keeps its promises."""

from pathlib import Path

import pytest
from hydra import compose
from hydra.utils import instantiate
from omegaconf import OmegaConf

from kvdistill.data.build import Settings, build
from kvdistill.data.sources.base import Source
from kvdistill.data.split import Splitting, shares
from kvdistill.data.styles import Style

CONF = Path(__file__).parents[2] / "conf"


def choices(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def composed(*overrides):
    return compose("config", overrides=list(overrides))


@pytest.mark.parametrize("choice", choices("data"))
def test_every_data_choice_builds(hydra, choice):
    data = composed(f"data={choice}", "+benchmarks=somewhere").data
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


@pytest.mark.parametrize("choice", choices("style"))
def test_every_style_builds(hydra, choice):
    assert isinstance(instantiate(composed(f"style={choice}").style, _convert_="object"), Style)


@pytest.mark.parametrize(
    "path", [*(CONF / "data").glob("*.yaml"), *(CONF / "style").glob("*.yaml")]
)
def test_every_choice_says_what_it_is_in_its_first_line(path):
    assert path.read_text("utf-8").startswith("# ")


def test_the_study_trains_its_student_on_15000_rows(hydra):
    data = composed("data=multi_reasoning").data
    assert data.split.max_student_rows == 15_000
    assert data.source.rows * data.split.ratios[0] / 2 > 15_000
    assert all(part.licence for part in data.source.parts.values())
    assert sum(part.weight for part in data.source.parts.values()) == pytest.approx(1)


def test_nano_is_stratified_within_one_percent(hydra, tmp_path):
    """When the families change: `python -m tests.data.find_salt`, and its answer into nano.yaml."""
    data = composed("data=nano").data
    source = instantiate(data.source, _convert_="object")
    made = instantiate(data.split, _convert_="object")(source.records())
    for task in shares(made).values():
        assert task == pytest.approx({"train": 0.70, "val": 0.15, "test": 0.15}, abs=0.01)


def test_nano_builds_without_a_leak(hydra, tmp_path):
    data = composed("data=nano").data
    settings = Settings(
        split=instantiate(data.split, _convert_="object"),
        leakage=instantiate(data.leakage, _convert_="object"),
    )
    report = build(instantiate(data.source, _convert_="object"), settings, tmp_path / "split")
    assert report["verdict"] == "clean"
    assert report["dropped"]["duplicates"] == 0
