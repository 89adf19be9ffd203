"""Benches are run by hand; `python -m pytest -m bench` runs each as it is when in a hurry."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stats import fake

ROOT = Path(__file__).parents[2]
PATHS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests/bench").rglob("*.py"))


def is_command(path: Path) -> bool:
    """Whether `python -m` does something with it."""
    return 'if __name__ == "__main__":' in (ROOT / path).read_text(encoding="utf-8")


def takes_quick(path: Path) -> bool:
    """Whether it is a command with that option."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return is_command(path) and 'add_argument("--quick"' in text


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_a_bench_can_be_imported(path: Path) -> None:
    importlib.import_module(".".join(path.with_suffix("").parts))


def test_every_number_of_the_reviewers_list_has_an_attack() -> None:
    from tests.bench.attacks.outcome import collect_attacks
    from tests.bench.reviewer import NUMBERS

    assert {attack.number for attack in collect_attacks()} == set(NUMBERS)


@pytest.mark.parametrize("path", [path for path in PATHS if is_command(path)], ids=str)
def test_a_bench_is_run_in_a_hurry_by_a_part_of_another_or_by_a_test(path: Path) -> None:
    name = path.parent.name if path.stem == "__main__" else path.stem
    named = re.compile(rf"tests\.bench\.{name}\b|from tests\.bench import [^\n]*\b{name}\b")
    own = {path} if path.stem != "__main__" else set(PATHS) & set(path.parent.rglob("*.py"))
    others = {each.relative_to(ROOT) for each in (ROOT / "tests").rglob("*.py")} - own
    assert takes_quick(path) or any(named.search((ROOT / each).read_text()) for each in others)


@pytest.mark.integration
def test_the_benches_that_read_a_study_read_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.bench import calibration, search

    same, worse = (
        str(
            fake.write_study(
                tmp_path, {"one": {"kv": level}}, name=name, seeds=range(8), untrained=()
            )
        )
        for name, level in (("same", 0.5), ("worse", -0.5))
    )
    arguments = ["calibration", same, "--planted", worse, "--draws", "10"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert calibration.main() == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["figures"]["seeds"] == 8
    assert report["figures"]["planted_found"] == 1.0
    monkeypatch.setattr(sys, "argv", ["search", same, worse])
    assert search.main() == 0
    assert re.search(r"kv +│ 16 ", capsys.readouterr().out)


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
