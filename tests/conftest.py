"""What every test may use. The package is imported inside fixtures, after the jaxtyping hook."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
pytest_plugins = [
    "tests.collector",
    "tests.inner_loop",
    "tests.limits",
    "tests.schedule",
    "tests.typed",
]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def new_hydra() -> Iterator[None]:
    """Hydra on the project's own conf/, as launch.py has it."""
    from hydra import initialize_config_dir

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


@pytest.fixture(scope="session")
def conf_repository() -> Any:
    """conf/ with each file parsed once a session and each set of choices composed once."""
    from hydra import initialize_config_dir

    from kvdistill.config.hydra_internals import enable_file_cache, get_config_loader

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        enable_file_cache()
        return get_config_loader().repository


@pytest.fixture
def hydra(new_hydra: None, conf_repository: Any) -> None:
    """The same for tests of anything but composing: what one has composed serves the next."""
    from kvdistill.config.hydra_internals import get_config_loader

    get_config_loader().repository = conf_repository


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For pages of which only the words are read: no PNG or PDF file, half of a report's time."""
    from kvdistill.report.figures.style import RenderedFigure

    monkeypatch.setattr(RenderedFigure, "save", lambda _, path: path.touch())
