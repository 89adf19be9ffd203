"""Every choice of alignment, compression and position builds from its YAML alone."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from kvdistill.config.build import build_node
from kvdistill.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf"
FILES = [
    file
    for group in ("alignment", "compression", "position")
    for file in sorted((CONF / group).glob("*.yaml"))
]


def node(file):
    return OmegaConf.to_container(OmegaConf.load(file))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_choice_builds_and_says_what_it_is(file):
    built = build_node(file.parent.name, node(file))
    assert {name: getattr(built, name) for name in node(file) if name != "_target_"} == {
        name: value for name, value in node(file).items() if name != "_target_"
    }
    assert file.read_text().startswith("# ")


def test_right_is_keep_last_under_the_studys_name():
    assert node(CONF / "compression/right.yaml") == node(CONF / "compression/keep_last.yaml")


def test_a_setting_that_cannot_be_is_refused_as_the_room_words_it():
    bad = node(CONF / "compression/r_kv.yaml") | {"keep": 1.5}
    with pytest.raises(ConfigError, match=r"compression\.keep=1\.5 must be a ratio"):
        build_node("compression", bad)
