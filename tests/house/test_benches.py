"""Benches are run by hand; `python -m pytest -m bench` runs each as it is when in a hurry."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATHS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests/bench").rglob("*.py"))


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_a_bench_can_be_imported(path: Path) -> None:
    importlib.import_module(".".join(path.with_suffix("").parts))


def test_every_number_of_the_reviewers_list_has_an_attack() -> None:
    from tests.bench.attacks.outcome import collect_attacks
    from tests.bench.reviewer import NUMBERS

    assert {attack.number for attack in collect_attacks()} == set(NUMBERS)


def takes_quick(path: Path) -> bool:
    """Whether it is a command with that option."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return 'add_argument("--quick"' in text and 'if __name__ == "__main__":' in text


@pytest.mark.bench
@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", [path for path in PATHS if takes_quick(path)], ids=str)
def test_a_quick_bench_ends_with_one_json_object(path: Path) -> None:
    module = ".".join(path.with_suffix("").parts).removesuffix(".__main__")
    command = [sys.executable, "-m", module, "--quick"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": "src"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    # A bound on seconds may be missed on a busy machine; then the exit code is 1.
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert {"name", "figures", "bounds", "ok"} <= set(report), done.stdout + done.stderr
    assert report["figures"]
    assert report["ok"] == (done.returncode == 0)
