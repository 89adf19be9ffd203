"""What every test may use. The package is imported inside fixtures, after the jaxtyping hook."""

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def hydra() -> Iterator[None]:
    """Hydra on the project's own conf/, as launch.py has it."""
    from hydra import initialize_config_dir

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield
