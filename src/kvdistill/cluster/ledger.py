"""What each arm spent, beside each other: budget.{json,csv,md} of a study (STUDY.md A1, A2)."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from kvdistill.files import is_complete, read_json, write_json, write_text
from kvdistill.records import SCHEMA_VERSION

REPORT = "validation_report.json"
SPENT = ("steps", "sequences", "planned_tokens", "real_tokens", "epochs", "train_s")
"""Columns taken from a run's ledger; seconds are measured, the rest is counted."""


def write(root: Path, study: Path) -> None:
    """Writes the budget of every finished trained run, and what its data was checked against."""
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
    copy_validation(root, study, [root / entry["folder"] for entry in plan["runs"].values()])
    write_json(study / "budget.json", {"schema_version": SCHEMA_VERSION, "arms": rows})
    table = pd.DataFrame(rows, columns=["label", "seed", *SPENT])
    write_text(study / "budget.csv", table.to_csv(index=False))
    write_text(study / "budget.md", str(table.to_markdown(index=False)) + "\n")


def copy_validation(root: Path, study: Path, runs: Iterable[Path]) -> None:
    """The report of the trained runs' data into the study; a refusal's before any other."""
    found = []
    for run in runs:
        frozen = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        path = root / "artifacts" / frozen["needs"]["validation"] / REPORT
        if frozen["recipe"]["trained"] and path.is_file():
            found.append(path)
    if found:
        leaks = [path for path in found if read_json(path)["verdict"] != "clean"]
        shutil.copyfile((leaks or found)[-1], study / REPORT)
