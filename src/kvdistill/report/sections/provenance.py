"""Where the records come from and how to make them again, as the manifests tell it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from kvdistill.plan.sweep import format_literal
from kvdistill.report.table import Grid, Value
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Study


@dataclass(frozen=True)
class Provenance:
    """The last section of the page."""

    commands: list[str]
    facts: list[tuple[str, str]]
    """(name, value) that all runs share, or every value that occurs."""
    runs: Grid


def provenance(study: Study, settings: Settings) -> Provenance:
    """Commands, versions and every run with its identity."""
    seen: dict[str, dict[str, None]] = {}
    for run in study.runs.values():
        for name, value in flat(run.manifest).items():
            seen.setdefault(name, {})[value] = None
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
        commands=[*study.commands, rebuilt(study, settings)],
        facts=[(name, ", ".join(values)) for name, values in sorted(seen.items())],
        runs=Grid(
            "runs",
            "Every run",
            ["folder", "arm", "seed", "state", "recipe"],
            rows,
            numeric=[False, False, True, False, False],
        ),
    )


def rebuilt(study: Study, settings: Settings) -> str:
    """The command that makes this report again of what lies on disk."""
    names = [folder.name for folder in study.folders]
    told = names[0] if len(names) == 1 else f"[{','.join(names)}]"
    changed = {}
    for field in fields(Settings):
        value, plain = getattr(settings, field.name), getattr(Settings(), field.name)
        if value != plain and (value or plain):  # a list without items is a tuple without
            changed[field.name] = value
    chosen = [f"stats.{name}={format_literal(value)}" for name, value in changed.items()]
    return shlex.join(["python", "launch.py", "stage=report", f"study={told}", *chosen])


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
