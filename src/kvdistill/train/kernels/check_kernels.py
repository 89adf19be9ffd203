"""Whether the kernels that a run asks for are installed here, asked before anything is queued."""

import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from kvdistill.errors import ConfigError
from kvdistill.train.kernels.linear_ce import check_linear_ce

FLASH_PACKAGES = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
COMPILERS = ("c++", "g++", "clang++")


def check_kernels(train: Mapping[str, Any]) -> None:
    """Raises ConfigError, which names setting, package and way out, for what is not installed."""
    implementation = train.get("attn_implementation")
    package = FLASH_PACKAGES.get(implementation or "")
    if package is not None and find_spec(package) is None:
        raise ConfigError(
            f"train.attn_implementation={implementation} needs the package {package}, which is not "
            f"installed. Install it for this torch and CUDA, or use sdpa, whose kernels torch has."
        )
    check_linear_ce(train.get("linear_ce", "none"))
    if train.get("torch_compile", False) and not has_compiler():
        raise ConfigError(
            "train.torch_compile=true needs triton, which comes with torch for CUDA, or a C++ "
            "compiler, and neither is here. Install one, or use train.torch_compile=false."
        )


def has_compiler() -> bool:
    """Whether torch's inductor could compile for a GPU or for this CPU."""
    return find_spec("triton") is not None or any(map(shutil.which, COMPILERS))
