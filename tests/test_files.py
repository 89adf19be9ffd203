"""Files have the modes that the umask gives, whoever has written them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kvdistill.files import open_to_umask, read_umask
from kvdistill.jobs import log
from kvdistill.layout import LOG


@pytest.fixture(params=[0o002, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    old = os.umask(request.param)
    yield request.param
    os.umask(old)


def test_the_umask_is_read_and_stays(umask: int) -> None:
    assert read_umask() == umask
    assert read_umask() == umask


def test_weights_have_the_mode_of_any_file(umask: int, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    save_file({"a": torch.zeros(1)}, tmp_path / "model/model.safetensors")
    (tmp_path / "plain.txt").write_text("")
    open_to_umask(tmp_path)
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o666 & ~umask}


def test_a_log_is_no_program(umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    log.redirect_output(tmp_path)
    assert (tmp_path / LOG).stat().st_mode & 0o777 == 0o666 & ~umask
