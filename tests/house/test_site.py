"""The site builds without a warning: every page in the navigation, every link and anchor there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = ("README.md", "README.zh.md", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md")
PAGES = [*(ROOT / name for name in TOP), *(ROOT / "docs").glob("*.md")]
LOADED = re.compile(
    r"(?:<(?:script|img|iframe)[^>]*src|<link[^>]*href)=\"?(?:https?:)?//|url\(.?http"
)


def build(folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    # Not --quiet: mkdocs counts only the warnings that it would show.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site")
    done = build(ROOT, made)
    assert done.returncode == 0, done.stderr
    return made


def test_the_site_has_every_page_where_the_repository_has_it(site: Path) -> None:
    for page in PAGES:
        place = page.relative_to(ROOT).with_suffix(".html")
        assert (site / ("index.html" if page.name == "README.md" else place)).is_file()


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for path in (*site.rglob("*.html"), *site.rglob("*.css")):
        assert not LOADED.search(path.read_text(encoding="utf-8")), path


@pytest.mark.integration
def test_a_link_that_leads_nowhere_is_an_error(tmp_path: Path) -> None:
    for name in (*TOP, "LICENSE", "mkdocs.yml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("docs", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name)
    targets = ("nowhere.md", "nowhere.png", "#nowhere")
    for page in PAGES:
        with (tmp_path / page.relative_to(ROOT)).open("a", encoding="utf-8") as file:
            file.write("\n\n" + " ".join(f"[there]({target})" for target in targets) + "\n")
    done = build(tmp_path, tmp_path.with_name("built"))
    assert done.returncode == 1
    for page in PAGES:
        for target in targets:
            assert f"'{page.relative_to(ROOT)}' contains a link '{target}'" in done.stderr
