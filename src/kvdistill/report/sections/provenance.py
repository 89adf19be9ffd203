"""Where the records come from and how to make them again, as the manifests tell it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from kvdistill.plan.sweep import format_literal
from kvdistill.report.table import ReportTable, TableCell
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Study


@dataclass(frozen=True)
class Provenance:
    """The last section of the page."""

    commands: list[str]
    facts: list[tuple[str, str]]
    """(name, value) that all runs share, or every value that occurs."""
    runs: ReportTable


def collect_provenance(study: Study, settings: Settings) -> Provenance:
    """Commands, versions and every run with its identity."""
    values_by_fact: dict[str, dict[str, None]] = {}
    for run in study.runs.values():
        for name, value in flatten_manifest(run.manifest).items():
            values_by_fact.setdefault(name, {})[value] = None
    rows = [
        [
            TableCell(run.folder.name),
            TableCell(run.arm),
            TableCell(str(run.seed), float(run.seed)),
            TableCell(run.state, None, "" if run.done else "missing"),
            TableCell(run.recipe),
        ]
        for run in study.runs.values()
    ]
    return Provenance(
        commands=[*study.commands, format_rebuild_command(study, settings)],
        facts=[(name, ", ".join(values)) for name, values in sorted(values_by_fact.items())],
        runs=ReportTable(
            "runs",
            "Every run",
            ["folder", "arm", "seed", "state", "recipe"],
            rows,
            numeric=[False, False, True, False, False],
        ),
    )


def format_rebuild_command(study: Study, settings: Settings) -> str:
    """The command that makes this report again of what lies on disk."""
    names = [folder.name for folder in study.folders]
    study_argument = names[0] if len(names) == 1 else f"[{','.join(names)}]"
    changed = {}
    for field in fields(Settings):
        value, plain = getattr(settings, field.name), getattr(Settings(), field.name)
        if value != plain and (value or plain):  # a list without items is a tuple without
            changed[field.name] = value
    stats_arguments = [f"stats.{name}={format_literal(value)}" for name, value in changed.items()]
    return shlex.join(
        ["python", "launch.py", "stage=report", f"study={study_argument}", *stats_arguments]
    )


MANIFEST_FACTS = ("git", "provenance", "packages", "versions", "hardware", "python", "machine")


def flatten_manifest(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The manifest's facts about code and machine, one level deep, as text."""
    facts: dict[str, str] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(f"{prefix}.{key}" if prefix else str(key), value)
        elif node is not None:
            facts[prefix] = " ".join(map(str, node)) if isinstance(node, list) else str(node)

    for key in MANIFEST_FACTS:
        if key in manifest:
            walk("" if key == "provenance" else key, manifest[key])
    return facts
