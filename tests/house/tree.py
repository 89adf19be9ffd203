"""The tree and the layers of docs/architecture.md, drawn from the package and its import contract.

`python -m tests.house.tree` writes both anew: the text between the page's two marks, from the first
sentence of every module, and docs/layers.svg, from .importlinter.
"""

import ast
import configparser
import re
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "kvdistill"
PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "layers.svg"
BEGIN, END = "<!-- tree -->\n", "<!-- end of tree -->\n"
WIDTH = 29
"""Characters before a sentence."""
ROLES = {
    "cli": "one module a stage of launch.py",
    "estimate": "what a plan would cost",
    "smoke": "twenty steps before a study",
    "cluster": "where jobs run",
    "jobs": "what a job does",
    "report": "claims -> figures, tables, one page",
    "stats": "records -> claims",
    "evaluate": "tasks, lm-eval, records",
    "train": "one step, its trainer and curves",
    "compression": "which teacher tokens stay",
    "projection": "width and heads",
    "position": "rotary frame",
    "fusion": "teachers' weights",
    "loss": "distance to the target",
    "logits": "next-token distributions",
    "kv": "teachers online or stored",
    "models": "load, build, capture",
    "data": "split, tokens, batches",
    "alignment": "tokens under tokens",
    "layers": "layers beside layers",
    "types": "Tokens, KV, Links, Batch",
    "distributed": "what ranks share",
    "plan": "sweeps -> runs, identity, budget",
    "config": "overrides -> one checked config",
    "manifest": "what made a folder",
    "status": "where a job is",
    "console": "what is printed",
    "garbage": "none while importing",
    "history": "what was asked of a root",
    "hash_record": "large files, hashed once",
    "files": "whole or absent",
    "sanitise": "no markup, no control",
    "redact": "no secrets",
    "layout": "paths on disk",
    "geometry": "a model's shape",
    "records": "rows on disk",
    "kv_modules": "where K and V leave a model",
    "errors": "what a user can cause",
    "preemption": "making room",
    "cache_folders": "caches below the home",
    "processor": "what it multiplies quickly",
}


def draw_tree(folder: Path = PACKAGE, depth: int = 0) -> str:
    """A line a module, below each folder: its name and the first sentence of its docstring."""
    lines = []
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        indent = "  " * (depth + 1)
        if path.is_dir() and (path / "__init__.py").exists():
            lines.append(f"{indent}{path.name}/")
            lines += draw_tree(path, depth + 1).splitlines()
        elif path.suffix == ".py" and path.name != "__init__.py":
            lines.append(f"{f'{indent}{path.name}':{WIDTH}} {first_sentence(path)}")
    return "\n".join(lines) + "\n"


def first_sentence(path: Path) -> str:
    """What a module says of itself first."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.?])\s", paragraph)[0]


def read_layers() -> list[list[str]]:
    """The rows of the import contract, top first, without the package's name."""
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    rows = contract["importlinter:contract:flow"]["layers"].split("\n")
    return [
        [name.strip().removeprefix("kvdistill.") for name in row.split("|")] for row in rows if row
    ]


def draw_layers() -> Figure:
    """A row of boxes a layer; imports point downwards only."""
    rows = read_layers()
    figure = Figure(figsize=(11, 0.62 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(len(rows), 0)
    for place, names in enumerate(rows):
        for column, name in enumerate(names):
            left, wide = column / len(names), 1 / len(names)
            box = Rectangle(
                (left + 0.004, place + 0.06), wide - 0.008, 0.88, facecolor="#e8eef7",
                edgecolor="#33557f",
            )  # fmt: skip
            axes.add_artist(box)
            middle = left + wide / 2
            axes.text(middle, place + 0.37, name, ha="center", va="center", weight="bold")
            axes.text(
                middle,
                place + 0.68,
                ROLES[name],
                ha="center",
                va="center",
                size=7.5,
                color="#444444",
            )
    return figure


def write_page() -> None:
    """Puts both where the page shows them."""
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}```\n{draw_tree()}```\n{END}{after}", encoding="utf-8")
    # Text stays text: it can be searched, and a test reads it.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "layers"}):
        draw_layers().savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    write_page()
