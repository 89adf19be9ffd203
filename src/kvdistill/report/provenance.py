"""Where the records come from and how to make them again, as the manifests tell it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvdistill.report.grid import Grid, Value
from kvdistill.stats.study import Study


@dataclass(frozen=True)
class Provenance:
    """The last section of the page."""

    commands: list[str]
    facts: list[tuple[str, str]]
    """(name, value) that all runs share, or every value that occurs."""
    runs: Grid


def provenance(study: Study) -> Provenance:
    """Commands, versions and every run with its identity."""
    seen: dict[str, dict[str, None]] = {}
    for run in study.runs.values():
        for name, value in flat(run.manifest).items():
            seen.setdefault(name, {})[value] = None
    commands = []
    for folder in study.folders:
        for name in study.questions:
            plain = name.split(": ", 1)[-1]
            if plain.isidentifier():
                commands.append(f"python launch.py sweep={plain} study={folder.name}")
        commands.append(f"python launch.py stage=report study={folder.name}")
    rows = [
        [
            Value(run.folder.name),
            Value(run.arm),
            Value(str(run.seed), float(run.seed)),
            Value(run.state, None, "" if run.done else "missing"),
            Value(run.recipe),
        ]
        for run in study.runs.values()
    ]
    return Provenance(
        commands=list(dict.fromkeys(commands)),
        facts=[(name, ", ".join(values)) for name, values in sorted(seen.items())],
        runs=Grid(
            "runs",
            "Every run",
            ["folder", "arm", "seed", "state", "recipe"],
            rows,
            numeric=[False, False, True, False, False],
        ),
    )


WANTED = ("git", "provenance", "packages", "versions", "hardware", "python", "machine")


def flat(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The manifest's facts about code and machine, one level deep, as text."""
    found: dict[str, str] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(f"{prefix}.{key}" if prefix else str(key), value)
        elif node is not None:
            found[prefix] = " ".join(map(str, node)) if isinstance(node, list) else str(node)

    for key in WANTED:
        if key in manifest:
            walk("" if key == "provenance" else key, manifest[key])
    return found
