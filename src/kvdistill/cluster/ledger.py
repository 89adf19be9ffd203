"""What each arm spent, beside each other: budget.{json,csv,md} of a study (STUDY.md A1, A2)."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from kvdistill.files import is_complete, read_json, write_json, write_text
from kvdistill.records import SCHEMA_VERSION

SPENT = ("steps", "sequences", "planned_tokens", "real_tokens", "epochs", "train_s")
"""Columns taken from a run's ledger; seconds are measured, the rest is counted."""


def write(root: Path, study: Path) -> None:
    """Writes the budget of every finished trained run and the validation report of its split."""
    plan = read_json(study / "plan.json")
    labels: dict[str, str] = {}
    for question in plan["questions"].values():
        for label, seeds in question["arms"].items():
            for identity in seeds.values():
                labels.setdefault(identity, label)
    rows: list[dict[str, Any]] = []
    for identity, entry in plan["runs"].items():
        folder = root / entry["folder"]
        if not (entry["trained"] and is_complete(folder)):
            continue
        manifest = read_json(folder / "manifest.json")
        spent = {key: manifest["ledger"][key] for key in SPENT}
        rows.append({"label": labels[identity], "seed": entry["seed"], **spent})
        report = root / "artifacts" / manifest["needs"]["split"] / "validation_report.json"
        shutil.copyfile(report, study / "validation_report.json")
    write_json(study / "budget.json", {"schema_version": SCHEMA_VERSION, "arms": rows})
    table = pd.DataFrame(rows, columns=["label", "seed", *SPENT])
    write_text(study / "budget.csv", table.to_csv(index=False))
    write_text(study / "budget.md", str(table.to_markdown(index=False)) + "\n")
