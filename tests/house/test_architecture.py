"""docs/architecture.md tells the truth: its steps are files and functions, its tree is the tree."""

import ast
import re

import pytest

from tests.house.tree import BEGIN, END, PACKAGE, PAGE, PICTURE, ROLES, ROOT, draw_tree, read_layers

TEXT = PAGE.read_text("utf-8")
STEPS = re.findall(r"`([\w/]+\.py)(?:: (\w+))?`", TEXT.split("## The tree")[0])


@pytest.mark.parametrize(("file", "name"), STEPS)
def test_a_step_is_a_file_and_a_name_in_it(file: str, name: str) -> None:
    path = next((place / file for place in (PACKAGE, ROOT) if (place / file).is_file()), None)
    assert path is not None
    assert not name or name in set(defined_names(ast.parse(path.read_text("utf-8"))))


def defined_names(tree: ast.Module) -> list[str]:
    """Functions, classes, methods and constants."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return names


def test_the_page_tells_enough_steps() -> None:
    assert sum(bool(name) for _, name in STEPS) >= 25


@pytest.mark.integration
def test_the_tree_is_the_packages() -> None:
    """`python -m tests.house.tree` writes it anew."""
    assert TEXT.split(BEGIN)[1].split(END)[0] == f"```\n{draw_tree()}```\n"


def test_the_picture_shows_the_layers_of_the_contract() -> None:
    layers = [name for row in read_layers() for name in row]
    shown = re.findall(r">([^<>]+)</text>", PICTURE.read_text("utf-8"))
    assert [text for text in shown if text in ROLES] == layers
