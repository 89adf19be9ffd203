"""What is installed is pinned, hashed and listed with its licence."""

import re

import pytest

from tests.house.licences import LOCK, PAGE, ROOT, pins, plain

UNPINNED = {"kvdistill", "vllm"}
"""This package, as its extras name each other; and one that pins a torch of its own."""


def read_direct_dependencies() -> set[str]:
    """Names of pyproject.toml's own dependencies, extras included."""
    tomllib = pytest.importorskip("tomllib")  # since Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        requirements += extra
    return {plain(re.split(r"[\[<>=; ]", each)[0]) for each in requirements}


def read_lock() -> dict[str, tuple[str, list[str]]]:
    """Name -> version and hashes of the lock."""
    text = LOCK.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {
        line.split("==")[0]: (line.split("==")[1].split()[0], re.findall(r"sha256:(\w+)", line))
        for line in lines
    }


def test_every_direct_dependency_is_pinned() -> None:
    pinned = {plain(name) for name in pins()}
    assert read_direct_dependencies() - pinned == UNPINNED


def test_the_lock_has_the_constraints_pins_each_with_a_hash() -> None:
    lock = read_lock()
    assert {name: version for name, (version, _) in lock.items()} == pins()
    assert [n for n, (_, each) in lock.items() if not each or {len(h) for h in each} != {64}] == []


def test_every_pin_stands_with_its_licence() -> None:
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert {name: version for name, version, _ in rows[1:]} == pins()
    assert [name for name, _, licence in rows if not licence.strip()] == []
