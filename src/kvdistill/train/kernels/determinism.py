"""Kernels whose bits repeat, and products of float32 that may be rounded: process-wide switches."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
REPEATABLE_WORKSPACE = ":4096:8"
"""What cuBLAS documents as repeatable: eight workspaces of 4 MiB."""
FLASH = "FLASH_ATTENTION_DETERMINISTIC"
"""What transformers passes on to the backward pass of flash attention."""


@contextmanager
def use_kernel_settings(train: Mapping[str, Any]) -> Iterator[None]:
    """While this is open torch computes as `train.deterministic` and `train.tf32` say.

    Open it before the first product on a GPU, when cuBLAS reads its variable. A value that the
    environment has already stays.
    """
    matmul = torch.backends.cuda.matmul
    # Typed as a plain module, which does not know its own property.
    fill_settings: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), matmul.allow_tf32
    fills = fill_settings.fill_uninitialized_memory
    # A plan that was frozen before there were such settings has none.
    deterministic = train.get("deterministic", False)
    added = {}
    if deterministic:
        added = {WORKSPACE: REPEATABLE_WORKSPACE, FLASH: "1"}
        added = {name: value for name, value in added.items() if name not in os.environ}
    os.environ.update(added)
    try:
        if deterministic:
            torch.use_deterministic_algorithms(True)
            # Would fill every empty tensor for nothing: none is read before it is written.
            fill_settings.fill_uninitialized_memory = False
        matmul.allow_tf32 = train.get("tf32", False)
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        matmul.allow_tf32 = before[1]
        fill_settings.fill_uninitialized_memory = fills
        for name in added:
            os.environ.pop(name, None)
