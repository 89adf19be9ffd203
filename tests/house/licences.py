"""Writes constraints.hashes.txt and docs/licences.md from what pip finds for constraints.txt.

Run as `python -m tests.house.licences REPORT...`, each a report of
`pip install --dry-run --no-deps --ignore-installed --report REPORT -r constraints.txt`. A package
of several reports has the hashes of all. Every pin must be installed, to say its licence.
"""

import json
import re
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE, LOCK = ROOT / "docs/licences.md", ROOT / "constraints.hashes.txt"
HEAD = """# Licences

Every package that `constraints.txt` pins, with the licence that its own metadata states, written by
`tests/house/licences.py`. None is part of this repository. Weights and data that a user names have
licences of their own.

| package | version | licence |
|---|---|---|
"""
ABOUT = """# The pins of constraints.txt with their files' hashes, for CPython 3.11 on x86-64 Linux:
#   pip install --require-hashes --no-deps -r constraints.hashes.txt && pip install --no-deps -e .
# torch has two: PyPI's file, and that of the CPU build, which comes from its own index.
"""


def pins() -> dict[str, str]:
    """Name -> version of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = (line.split(";")[0].split("#")[0].strip() for line in lines)
    return dict(line.split("==") for line in requirements if line)


def plain(name: str) -> str:
    """A package's name, however it is spelled."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(name: str) -> str:
    """As the package says it: its expression, its classifiers, or the first line of its field."""
    fields = metadata.metadata(name)
    if expression := fields.get("License-Expression"):
        return str(expression)
    kinds = [each.split(" :: ") for each in fields.get_all("Classifier") or ()]
    named = [kind[-1] for kind in kinds if kind[0] == "License" and kind[-1] != "OSI Approved"]
    field = (fields.get("License") or "").strip().splitlines() or ["not stated"]
    return "; ".join(named) or field[0].replace("|", "/")[:80]


def main() -> int:
    """Writes both files. Raises KeyError for a pin that no report has, or that is not installed."""
    distributions: dict[str, list[dict[str, Any]]] = {}
    for name in sys.argv[1:]:
        for item in json.loads(Path(name).read_text(encoding="utf-8"))["install"]:
            distributions.setdefault(plain(item["metadata"]["name"]), []).append(item)
    lock, rows = [ABOUT], []
    for name, version in pins().items():
        items = distributions[plain(name)]
        hashes = sorted(
            {item["download_info"]["archive_info"]["hashes"]["sha256"] for item in items}
        )
        lock.append(
            f"{name}=={version}" + "".join(f" \\\n    --hash=sha256:{h}" for h in hashes) + "\n"
        )
        rows.append(f"| {name} | {version} | {licence(name)} |\n")
    LOCK.write_text("".join(lock), encoding="utf-8")
    PAGE.write_text(HEAD + "".join(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
