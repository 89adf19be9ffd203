"""The switches of a run's kernels, and that they are put back."""

import os

import pytest
import torch

from kvdistill.train.kernels.determinism import FLASH, WORKSPACE, use_kernel_settings


def read_switches():
    matmul = torch.backends.cuda.matmul
    return (
        torch.are_deterministic_algorithms_enabled(),
        matmul.allow_tf32,
        os.environ.get(WORKSPACE),
    )


def test_deterministic_kernels_are_on_while_a_run_trains(monkeypatch):
    for name in (WORKSPACE, FLASH):
        monkeypatch.delenv(name, raising=False)
    before = read_switches()
    with use_kernel_settings({"deterministic": True, "tf32": False}):
        assert read_switches() == (True, False, ":4096:8")
        assert os.environ[FLASH] == "1"
        # An operation without a deterministic kernel is refused rather than computed.
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert read_switches() == before
    assert FLASH not in os.environ


def test_a_workspace_of_the_users_stays(monkeypatch):
    monkeypatch.setenv(WORKSPACE, ":16:8")
    with use_kernel_settings({"deterministic": True}):
        assert os.environ[WORKSPACE] == ":16:8"
    assert os.environ[WORKSPACE] == ":16:8"


@pytest.mark.parametrize("tf32", [True, False])
def test_tf32_is_as_the_setting_says_and_put_back(tf32):
    before = read_switches()
    with use_kernel_settings({"tf32": tf32}):
        assert torch.backends.cuda.matmul.allow_tf32 is tf32
    assert read_switches() == before
