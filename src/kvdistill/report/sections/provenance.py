"""Where the records come from and how to make the report again, by the manifests."""

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from kvdistill.plan.sweep import format_literal
from kvdistill.report.page_data import Provenance
from kvdistill.report.sections.answer_facts import list_answer_facts
from kvdistill.report.sections.code_facts import list_code_facts
from kvdistill.report.table import ReportTable, TableCell
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Run, Study

MANIFEST_FACTS = ("git", "provenance", "packages", "versions", "hardware", "python", "machine")
"""Keys of a manifest that the page shows."""


def make_provenance(study: Study, settings: Settings) -> Provenance:
    """Commands, versions and every run with its identity."""
    values_by_fact: dict[str, dict[str, None]] = {}
    for run in study.runs.values():
        for name, value in flatten_manifest(run.manifest).items():
            values_by_fact.setdefault(name, {})[value] = None
    labels = label_runs(study)
    withdrawn = {run.identity: run for one in study.withdrawn for run in one.runs}
    rows = [
        make_run_row(run, labels.get(run.identity, run.arm), run.state)
        for run in study.runs.values()
    ]
    rows += [
        make_run_row(run, labels.get(run.identity, run.arm), "withdrawn")
        for run in withdrawn.values()
        if run.identity not in study.runs
    ]
    return Provenance(
        commands=[*study.commands, format_rebuild_command(study, settings)],
        facts=[
            *list_code_facts(study),
            *list_answer_facts(study),
            *((name, ", ".join(values)) for name, values in sorted(values_by_fact.items())),
        ],
        runs=ReportTable(
            "runs",
            "Every run",
            ["label", "seed", "arm", "state", "folder", "recipe", "code"],
            rows,
            numeric=[False, True, False, False, False, False, False],
        ),
    )


def label_runs(study: Study) -> dict[str, str]:
    """Identity -> every label under which a question reads the run, or read it."""
    names: dict[str, dict[str, None]] = {}
    for question in study.questions.values():
        for label, arm in question.arms.items():
            for run in arm.runs.values():
                names.setdefault(run.identity, {})[label] = None
    for name, run in study.references.items():
        names.setdefault(run.identity, {})[f"teacher {name}"] = None
    for one in study.withdrawn:
        for run in one.runs:
            if run.identity not in study.runs:
                names.setdefault(run.identity, {})[one.label] = None
    return {identity: ", ".join(labels) for identity, labels in names.items()}


def make_run_row(run: Run, label: str, state: str) -> list[TableCell]:
    """One run as the page lists it."""
    return [
        TableCell(label),
        TableCell(str(run.seed), float(run.seed)),
        TableCell(run.arm),
        TableCell(state, None, "" if state == "done" else "missing"),
        TableCell(run.folder.name, mark="hash"),
        TableCell(run.recipe, mark="hash"),
        TableCell(run.code.fingerprint if run.code is not None else "", mark="hash"),
    ]


def format_rebuild_command(study: Study, settings: Settings) -> str:
    """The command that makes this report again from what lies on disk."""
    names = [folder.name for folder in study.folders]
    study_argument = names[0] if len(names) == 1 else f"[{','.join(names)}]"
    stats_arguments = []
    for field in fields(Settings):
        value, default = getattr(settings, field.name), getattr(Settings(), field.name)
        # An empty list from YAML differs from the default's empty tuple, but changes nothing.
        if value != default and (value or default):
            stats_arguments.append(f"stats.{field.name}={format_literal(value)}")
    return shlex.join(
        ["python", "launch.py", "stage=report", f"study={study_argument}", *stats_arguments]
    )


def flatten_manifest(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Dotted name -> text, for the manifest's facts about code and machine."""
    facts: dict[str, str] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                walk(f"{prefix}.{key}" if prefix else str(key), value)
        elif node is not None:
            facts[prefix] = " ".join(map(str, node)) if isinstance(node, list) else str(node)

    for key in MANIFEST_FACTS:
        if key in manifest:
            # `provenance` only groups facts: they go by their own names.
            walk("" if key == "provenance" else key, manifest[key])
    return facts
