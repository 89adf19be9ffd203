"""A module is told by what it does: not by its comments, its format or its documentation."""

import ast

import pytest

from kvdistill.plan.code.syntax import digest_tree, read_syntax

SOURCE = '''
"""A module."""
import kvdistill.files
from . import base
from ..kv.base import Teacher as T

LIMIT = 3
"""Of rows."""

def scale(x, *, by=1.0):
    """Doubles."""
    from kvdistill.data import split
    return f"{x * by}" "s"
'''


def digest(text: str) -> str:
    return read_syntax(text.encode(), "kvdistill.fusion").digest


def test_a_comment_a_docstring_and_a_line_break_change_nothing() -> None:
    other = SOURCE.replace('"""Doubles."""', "# twice").replace("by=1.0", "by  =  1.0,")
    other = other.replace('"""A module."""', "").replace('"""Of rows."""\n', "")
    assert digest(other) == digest(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [("x * by", "x + by"), ("by=1.0", "by=1"), ("by=1.0", "by=True"), ("LIMIT", "LIMITS"),
     ('"s"', '"t"'), ("return", "yield"), ("*, by", "by")],
)  # fmt: skip
def test_what_it_does_changes_it(old: str, new: str) -> None:
    assert digest(SOURCE.replace(old, new)) != digest(SOURCE)


def test_it_is_the_same_under_every_python() -> None:
    """Fixed by value: other versions parse the same text to trees with more, or fewer, fields."""
    assert digest(SOURCE) == "7442886fd77e"
    later = ast.parse("def f(): return 1")
    later.body[0].type_params = []  # type: ignore[attr-defined]  # since 3.12
    assert digest_tree(later) == digest("def f():\n  return 1")
    divided = ast.parse('f"ab{x}"')
    parts = divided.body[0].value  # type: ignore[attr-defined]
    parts.values[:1] = [ast.Constant("a"), ast.Constant("b"), ast.Constant("")]
    assert digest_tree(ast.Module(body=divided.body, type_ignores=[])) == digest('f"ab{x}"')


def test_imports_are_absolute_and_those_within_functions_count() -> None:
    assert read_syntax(SOURCE.encode(), "kvdistill.fusion").imports == (
        "kvdistill.files", "kvdistill.fusion", "kvdistill.fusion.base", "kvdistill.kv.base",
        "kvdistill.kv.base.Teacher", "kvdistill.data", "kvdistill.data.split",
    )  # fmt: skip
