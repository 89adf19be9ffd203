"""Format, lint, import contracts and types: the same checks locally and in CI."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CHECKS = (
    ("ruff", "format", "--check", "."),
    ("ruff", "check", "."),
    ("lint-imports",),
    ("mypy",),
)


@pytest.mark.integration
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command",
    CHECKS,
    ids=lambda command: command[0] + command[1] if len(command) > 1 else command[0],
)
def test_the_house_is_in_order(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
