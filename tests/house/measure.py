"""How the house reads, in figures: names, comments, sizes.

`python -m tests.house.measure [FOLDER] [-v]`; -v lists the names that are defined twice.

Counted over the syntax tree, so that text, strategies' YAML and comments count for nothing unless
they are named. The bounds that hold are in test_measure.py.
"""

# ruff: noqa: T201 - it speaks on the terminal
import ast
import io
import json
import statistics
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "src" / "kvdistill"
DIALECT = {"found", "said", "told", "wanted", "asked"}
IRREGULAR = {
    "built", "done", "drawn", "found", "given", "held", "kept", "known", "made", "meant", "put",
    "read_back", "said", "sent", "shown", "spent", "split_up", "taken", "told", "written", "worn",
}  # fmt: skip
NO_PARTICIPLES = {"need", "seed", "feed", "speed", "exceed", "proceed", "embed"}
VERBS = {
    "check", "read", "write", "load", "find", "list", "count", "describe", "compose", "resolve",
    "make", "build", "format", "init", "mark", "is", "has", "was", "on", "test",
}  # fmt: skip
"""A name that begins with one says what is done, whatever its last word."""
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(folder: Path) -> dict[Path, ast.Module]:
    """Path -> syntax tree of every module but empty ones."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(folder.rglob("*.py"))}
    return {path: tree for path, tree in trees.items() if tree.body}


def top_level_names(tree: ast.Module) -> Iterator[str]:
    """Functions and classes that a module defines."""
    yield from (node.name for node in tree.body if isinstance(node, Function | ast.ClassDef))


def defined_twice(trees: dict[Path, ast.Module]) -> dict[str, list[str]]:
    """Name -> the modules that define it, where they are two or more."""
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees.items():
        for name in dict.fromkeys(top_level_names(tree)):
            places[name].append(path.stem)
    return {name: paths for name, paths in places.items() if len(paths) > 1}


def functions(trees: dict[Path, ast.Module]) -> list[Function]:
    """Every function and method."""
    nodes = (node for tree in trees.values() for node in ast.walk(tree))
    return [node for node in nodes if isinstance(node, Function)]


def is_participle(name: str) -> bool:
    """Whether a function's name begins with, or is about, a past participle in place of a verb."""
    words = name.strip("_").split("_")
    return words[0] not in VERBS and any(map(is_past, {words[0], words[-1]}))


def is_past(word: str) -> bool:
    """Whether a word looks like a past participle."""
    regular = word.endswith("ed") and len(word) > 3 and word not in NO_PARTICIPLES
    return regular or word in IRREGULAR


def variables(trees: dict[Path, ast.Module]) -> Counter[str]:
    """How often a value is assigned to each name."""
    names: Counter[str] = Counter()
    for node in (node for tree in trees.values() for node in ast.walk(tree)):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr):
            targets = [node.target]
        stored = (each for target in targets for each in ast.walk(target))
        names.update(each.id for each in stored if isinstance(each, ast.Name))
    return names


def comments(path: Path) -> int:
    """Lines of a module with a comment, notes to tools left out."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline)
    marks = ("# noqa", "# type:", "# fmt:", "# ruff:")
    return sum(t.type == tokenize.COMMENT and not t.string.startswith(marks) for t in tokens)


@cache
def measure(folder: Path = PACKAGE) -> dict[str, float]:
    """The figures; shares in percent, sizes in lines."""
    trees = modules(folder)
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in trees}
    definitions = sum(len(set(top_level_names(tree))) for tree in trees.values())
    given = variables(trees)
    every = functions(trees)
    public = [f.name for f in every if not f.name.startswith("_")]
    folders = Counter(path.parent for path in trees if path.name != "__init__.py")
    sizes = sorted(lines.values())
    lengths = sorted((node.end_lineno or 0) - node.lineno + 1 for node in every)
    return {
        "modules": len(trees),
        "names_defined_twice_percent": 100
        * sum(map(len, defined_twice(trees).values())) / definitions,
        "public_functions_of_one_word_percent": 100
        * sum("_" not in name for name in public) / len(public),
        "participles_percent": 100 * sum(is_participle(f.name) for f in every) / len(every),
        "dialect_variables_percent": 100 * sum(given[w] for w in DIALECT) / given.total(),
        "comments_per_100_lines": 100 * sum(map(comments, trees)) / sum(lines.values()),
        "largest_folder_modules": max(folders.values()),
        "module_lines_median": statistics.median(sizes),
        "module_lines_p90": sizes[int(0.9 * len(sizes))],
        "function_lines_median": statistics.median(lengths),
        "function_lines_p90": lengths[int(0.9 * len(lengths))],
    }  # fmt: skip


if __name__ == "__main__":
    places = [Path(word) for word in sys.argv[1:] if word != "-v"]
    place = places[0] if places else PACKAGE
    print(json.dumps({key: round(value, 2) for key, value in measure(place).items()}, indent=1))
    if "-v" in sys.argv:
        trees = modules(place)
        for name, paths in sorted(defined_twice(trees).items(), key=lambda item: -len(item[1])):
            print(f"{name}: {', '.join(paths)}")
