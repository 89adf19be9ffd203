"""A folder that is no model is refused when it is pinned, with the way out."""

import re
from pathlib import Path

import pytest

from kvdistill.errors import ConfigError

ROLES = ("student.pretrained.", "teachers.a.pretrained.")


def pin_model(path: Path, role: str, **more: str) -> None:
    from kvdistill.plan.pin import Pins

    node = {"_target_": "kvdistill.models.pretrained.Pretrained", "path": str(path), **more}
    Pins(strict=False)(node, role)


@pytest.mark.parametrize("role", ROLES)
def test_a_folder_without_a_config_is_refused_with_the_way_out(tmp_path: Path, role: str) -> None:
    place = re.escape(f"{role}path={tmp_path} holds no config.json")
    with pytest.raises(ConfigError, match=rf"{place}.*Give a folder that save_pretrained wrote"):
        pin_model(tmp_path, role)
    (tmp_path / "tiny.Q4.gguf").write_bytes(b"GGUF")
    way_out = re.escape(f"holds ['tiny.Q4.gguf']. Name the GGUF file: {role}gguf_file=tiny.Q4.gguf")
    with pytest.raises(ConfigError, match=rf"{place}.*{way_out}"):
        pin_model(tmp_path, role)
    pin_model(tmp_path, role, gguf_file="tiny.Q4.gguf")
    (tmp_path / "config.json").write_text("{}")
    pin_model(tmp_path, role)


def test_a_gguf_file_that_is_not_there_and_a_path_that_is_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match=r"gguf_file=big\.gguf is no file in .*'tiny\.gguf'"):
        pin_model(tmp_path, ROLES[0], gguf_file="big.gguf")
    with pytest.raises(ConfigError, match=r"is a file.*student\.pretrained\.gguf_file=tiny\.gguf"):
        pin_model(tmp_path / "tiny.gguf", ROLES[0])
