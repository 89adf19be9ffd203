"""A module told by its syntax tree: a hash that no comment, format or docstring changes; imports.

Nothing is imported or executed. The hash is the same under every Python that the project supports:
`ast.dump` is not (3.12 added fields, 3.13 leaves out empty ones), so trees are written here.
"""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

DIGEST_DIGITS = 12
LEFT_OUT = {"ctx", "kind", "type_comment", "type_ignores"}
"""Fields that follow from the others, or that change nothing: `u""`, comments that give types."""
SCOPES = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class ModuleSyntax:
    """What is read off a module's source."""

    digest: str
    imports: tuple[str, ...]
    """Dotted names, absolute, of what it imports at any place; of `from a import b` both, as
    only files say whether b is a module."""


@cache
def read_syntax(source: bytes, package: str) -> ModuleSyntax:
    """Of a module's source; `package` holds it, for relative imports. Raises SyntaxError."""
    tree = ast.parse(source)
    return ModuleSyntax(digest_tree(tree), tuple(dict.fromkeys(list_imports(tree, package))))


def digest_tree(tree: ast.AST) -> str:
    """Twelve hex digits of what the tree does, docstrings apart."""
    words: list[str] = []
    write_node(tree, words)
    return hashlib.sha256("".join(words).encode()).hexdigest()[:DIGEST_DIGITS]


def write_node(node: Any, words: list[str]) -> None:
    """Appends a node, a list of nodes, or a constant, so that two ways to write one are alike."""
    if isinstance(node, list):
        words.append("[")
        for each in node:
            write_node(each, words)
        words.append("]")
    elif isinstance(node, ast.AST):
        kind: Any = type(node)
        words.append(f"{kind.__name__}(")
        for name in list_fields(kind):
            value: Any = getattr(node, name, None)
            if name == "body" and isinstance(node, SCOPES):
                value = drop_docstring(value)
            elif name == "values" and isinstance(node, ast.JoinedStr):
                value = join_constants(value)
            # Empty ones are left out, as a field that a later Python adds is empty in older code.
            if (value is not None and value != []) or isinstance(node, ast.Constant):
                words.append(f"{name}=")
                write_node(value, words)
        words.append(")")
    else:
        words.append(f"{node!r},")  # tells 1, 1.0, True and "1" apart


@cache
def list_fields(kind: Any) -> tuple[str, ...]:
    """The fields of a kind of node that count."""
    return tuple(sorted(name for name in kind._fields if name not in LEFT_OUT))


def drop_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements without strings that stand alone: documentation, of scope or attribute."""
    return [
        statement for statement in body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str))
    ]  # fmt: skip


def join_constants(values: list[ast.expr]) -> list[ast.expr]:
    """An f-string's parts with neighbouring texts as one: Python 3.12 divides them otherwise."""
    joined: list[ast.expr] = []
    for value in values:
        last = joined[-1] if joined else None
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            joined[-1] = ast.Constant(str(last.value) + str(value.value))
        elif not (isinstance(value, ast.Constant) and value.value == ""):
            joined.append(value)
    return joined


def list_imports(tree: ast.AST, package: str) -> Iterator[str]:
    """What is imported anywhere in a tree, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_module(node, package)
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def resolve_module(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of what `from X import` names."""
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])
