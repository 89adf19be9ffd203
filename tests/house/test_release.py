"""One version everywhere, and what a newcomer and a package index expect of a repository."""

import re
from pathlib import Path

import tomllib
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    releases = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert releases[0] == "Unreleased"
    assert releases[1] == PROJECT["version"] == citation["version"]
    assert citation["license"] == PROJECT["license"]


def test_the_package_says_that_it_is_typed() -> None:
    assert (ROOT / "src" / "kvdistill" / "py.typed").is_file()


def test_the_hooks_run_the_checks_of_the_tests() -> None:
    from tests.house.test_checks import CHECKS

    node = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    entries = " ".join(hook["entry"] for repo in node["repos"] for hook in repo["hooks"])
    for command in CHECKS:
        assert " ".join(word for word in command if word not in ("--check", ".")) in entries


def test_whoever_carries_on_finds_the_files_that_are_named() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for path in re.findall(r"`((?:src|tests|conf)/[\w/.]+)`", text):
        assert (ROOT / path).exists() or "STAGE" in path, path


def test_no_page_is_named_that_the_repository_does_not_have() -> None:
    pages = {path.name for folder in (".", "docs") for path in (ROOT / folder).glob("*.md")}
    texts = [path for part in ("src", "tests", "conf", "sweeps", "docs") for path in
             (ROOT / part).rglob("*") if path.suffix in (".py", ".yaml", ".md", ".j2")]  # fmt: skip
    for path in [*texts, ROOT / "README.md", ROOT / "launch.py"]:
        for name in re.findall(r"\b[A-Z]{3,}\.md\b", path.read_text("utf-8")):
            assert name in pages, f"{path.relative_to(ROOT)} names {name}"
