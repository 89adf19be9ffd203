"""Only what another node can heal is tried again."""

import errno

import pytest
import torch


def classify(error: BaseException) -> str:
    from kvdistill.jobs.failure_cause import classify_failure

    return classify_failure(error)


def test_what_a_user_set_wrong_is_config() -> None:
    from kvdistill.errors import ArtifactError, ConfigError

    assert {classify(ConfigError("x")), classify(ArtifactError("CUDA error: unknown"))} == {
        "config"
    }


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_memory_that_ran_out_is_memory(error: BaseException) -> None:
    assert classify(error) == "memory"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ESTALE, "Stale file handle"),
        OSError(errno.EIO, "Input/output error"),
        ConnectionResetError("peer"),
        torch.distributed.DistNetworkError("connect timed out"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA error: unspecified launch failure"),
    ],
)
def test_a_broken_node_is_node(error: BaseException) -> None:
    assert classify(error) == "node"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: device-side assert triggered"),
        FileNotFoundError(errno.ENOENT, "No such file"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("hardware"),
    ],
)
def test_what_would_fail_again_is_error(error: BaseException) -> None:
    assert classify(error) == "error"
