"""Benches are run by hand, so that what they import must be seen to exist."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATHS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests/bench").rglob("*.py"))


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_a_bench_can_be_imported(path: Path) -> None:
    importlib.import_module(".".join(path.with_suffix("").parts))
