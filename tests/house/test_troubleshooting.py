"""Every message that the page explains is one that the program says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def texts(path: Path) -> list[str]:
    """The string literals of a module, without what f-strings fill in; its errors' names."""
    literals = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [p.value for p in node.values if isinstance(p, ast.Constant)]
            literals.append("\0".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            literals.append(node.value)
        elif isinstance(node, ast.Attribute) and node.attr.endswith("Error"):
            literals.append(node.attr)
    return literals


MESSAGES = re.findall(
    r"^\| `([^`]+)` \|",
    (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def program_texts() -> list[str]:
    """Those of every module."""
    return [text for path in (ROOT / "src/kvdistill").rglob("*.py") for text in texts(path)]


@pytest.mark.parametrize("message", MESSAGES)
def test_an_explained_message_is_one_of_the_programs(
    message: str, program_texts: list[str]
) -> None:
    assert any(message in text for text in program_texts)


def test_there_are_messages() -> None:
    assert len(MESSAGES) > 15
