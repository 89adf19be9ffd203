"""Which modules of the package a job's science reaches, along import statements, from its builder.

Nothing is imported or executed.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kvdistill
from kvdistill.errors import ConfigError
from kvdistill.plan.code.syntax import ModuleSyntax, digest_tree, list_imports, read_syntax

PACKAGE = Path(kvdistill.__file__).parent
ROOT_NAME = PACKAGE.name
BUILDERS = f"{ROOT_NAME}.jobs.builders"
TASK_FILES = "evaluate/tasks"
NO_SCIENCE = (
    # Before a job: what it plans and composes is frozen in config.yaml, which the job reads.
    "cli", "smoke", "cluster", "estimate", "plan.graph", "plan.identity", "plan.frozen_recipe",
    "config.check_cluster", "config.check_shape", "config.check_training", "config.check_values",
    "config.compose", "config.compose_cache", "config.explain", "config.hydra_guard",
    "config.hydra_internals", "config.trust",
    # After it: what it shows and judges is made again from the records by each report.
    "report", "stats",
    # During it: how fast it was.
    "train.speed", "plan.resources.device_peaks",
    # Around it: how processes start, meet, stop and say how far they are; names on disk; errors.
    "jobs", "preemption", "status", "console", "manifest", "history", "layout", "errors",
    "redact", "sanitise",
)  # fmt: skip
"""Modules and packages that cannot change a number."""
FUNCTION_TAG = re.compile(rf"!function\s+({ROOT_NAME}(?:\.\w+)+)")
INCLUDE_LINE = re.compile(r"^include:\s*(\S+)", re.MULTILINE)
EMPTY = digest_tree(ast.Module(body=[], type_ignores=[]))
"""Of a package's file in which nothing stands."""


class PackageCode:
    """The package's files as they stand when they are first asked for: one object a command."""

    def __init__(self, package: Path | None = None) -> None:
        self.package = package or PACKAGE
        self.files: dict[str, Path | None] = {}
        self.modules: dict[str, ModuleSyntax] = {}
        self.traced: dict[frozenset[str], dict[str, str]] = {}

    def trace_modules(self, names: Iterable[str]) -> dict[str, str]:
        """Module -> digest, of all that these names (of modules, or of what is in them) lead to.

        Raises ConfigError for a module that no Python could run.
        """
        key = frozenset(names)
        if key not in self.traced:
            self.traced[key] = self.follow_imports(key)
        return self.traced[key]

    def follow_imports(self, names: Iterable[str]) -> dict[str, str]:
        """The same, along all imports."""
        digests: dict[str, str] = {}
        waiting = sorted(names)
        while waiting:
            for module in self.list_modules_on_path(waiting.pop()):
                if module not in digests and not is_without_science(module):
                    syntax = self.read_module(module)
                    digests[module] = syntax.digest
                    waiting += syntax.imports
        # An empty package's file says nothing.
        return {name: digest for name, digest in digests.items() if digest != EMPTY}

    def read_module(self, module: str) -> ModuleSyntax:
        """The syntax of a module that is there."""
        if module not in self.modules:
            path = self.locate_module(module)
            assert path is not None
            holder = module if path.name == "__init__.py" else module.rpartition(".")[0]
            try:
                self.modules[module] = read_syntax(path.read_bytes(), holder)
            except SyntaxError as error:
                raise ConfigError(
                    f"{path}, line {error.lineno}: {error.msg}. A run would import this module: "
                    f"mend it."
                ) from error
        return self.modules[module]

    def list_modules_on_path(self, name: str) -> Iterator[str]:
        """The modules that importing a dotted name executes: its packages, then itself."""
        parts = name.split(".")
        if parts[0] != ROOT_NAME:
            return
        for length in range(1, len(parts) + 1):
            module = ".".join(parts[:length])
            if self.locate_module(module) is not None:
                yield module

    def locate_module(self, module: str) -> Path | None:
        """The file of a module or package; None where there is none."""
        if module not in self.files:
            place = self.package.joinpath(*module.split(".")[1:])
            files = (place / "__init__.py", place.with_suffix(".py"))
            self.files[module] = next((path for path in files if path.is_file()), None)
        return self.files[module]

    def read_builders(self) -> bytes:
        """The source of jobs/builders.py."""
        return (self.package / "jobs" / "builders.py").read_bytes()

    def read_task_files(self, tasks: Mapping[str, Any]) -> dict[str, bytes]:
        """Path within the package -> content, of a suite's task files and what they include."""
        contents: dict[str, bytes] = {}
        names = [*(tasks.get("tasks") or ()), *(tasks.get("beside") or ())]
        waiting = [f"{name}.yaml" for name in names]
        while waiting:
            name = f"{TASK_FILES}/{waiting.pop()}"
            path = self.package / name
            if name not in contents and path.is_file():  # lm-eval's own have no file here
                contents[name] = path.read_bytes()
                waiting += INCLUDE_LINE.findall(contents[name].decode())
        return contents


def is_without_science(module: str) -> bool:
    """Whether a module can change no number."""
    inner = module.removeprefix(f"{ROOT_NAME}.")
    return any(inner == name or inner.startswith(f"{name}.") for name in NO_SCIENCE)


@cache
def slice_builder(
    source: bytes, kind: str, without: frozenset[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Digest of each function of jobs/builders.py that does a kind's work, and what they import.

    From the function that its BUILDERS names, through those of the file that it calls; `without`
    some. A digest each: runs that train and runs that do not have some of them in common.
    """
    tree = ast.parse(source)
    holder = BUILDERS.rpartition(".")[0]
    functions = {item.name: item for item in tree.body if isinstance(item, ast.FunctionDef)}
    modules = {
        alias.asname or alias.name: name
        for item in tree.body if isinstance(item, ast.ImportFrom)
        for alias, name in zip(item.names, list(list_imports(item, holder))[1:], strict=True)
    }  # fmt: skip
    reached: dict[str, ast.AST] = {}
    waiting: list[ast.AST] = [find_builder(tree, kind)]
    imports: list[str] = []
    while waiting:
        part = waiting.pop()
        imports += list_imports(part, holder)
        used = {each.id for each in ast.walk(part) if isinstance(each, ast.Name)}
        imports += [modules[name] for name in sorted(used & {*modules})]
        new = sorted((used & {*functions}) - {*reached} - without)
        reached |= {name: functions[name] for name in new}
        waiting += [functions[name] for name in new]
    digests = {f"{BUILDERS}.{name}": digest_tree(part) for name, part in reached.items()}
    return digests, tuple(imports)


def list_named_functions(tasks: Mapping[str, bytes]) -> list[str]:
    """The functions of the package that task files name."""
    return [name for content in tasks.values() for name in FUNCTION_TAG.findall(content.decode())]


def find_builder(tree: ast.Module, kind: str) -> ast.AST:
    """The value of a kind in BUILDERS."""
    tables = [
        s.value for s in tree.body if isinstance(s, ast.AnnAssign) and isinstance(s.value, ast.Dict)
    ]
    for table in tables:
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == kind:
                return value
    raise KeyError(f"{BUILDERS} has no builder of {kind}")
