"""What each arm spent, beside each other: budget.{json,csv,md} of a study (STUDY.md A1, A2)."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from kvdistill import manifest
from kvdistill.config.schema import read_group
from kvdistill.files import is_complete, read_json, read_sealed, write_json, write_text
from kvdistill.plan.budget import global_batch
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.study_plan import RunEntry, StudyPlan
from kvdistill.records import MANY_EPOCHS, SCHEMA_VERSION

REPORT = "validation_report.json"
LEDGER_COLUMNS = (
    "steps", "sequences", "planned_tokens", "real_tokens", "epochs", "student_flops",
    "teacher_flops", "stored_bytes", "train_s",
)  # fmt: skip
"""Columns taken from a run's ledger; seconds are measured, the rest is counted."""
BATCH_COLUMNS = ("batch_size", "num_gpus", "grad_accum", "seq_len")
SCHEDULE_COLUMNS = ("lr", "lr_scheduler_type", "warmup_ratio", "weight_decay", "max_grad_norm")
COLUMNS = (
    "label",
    "seed",
    "run",
    "texts",
    *LEDGER_COLUMNS,
    "global_batch",
    *BATCH_COLUMNS,
    *SCHEDULE_COLUMNS,
)


def write_budget(root: Path, study: Path) -> list[str]:
    """Writes the budget of every finished run, and what its data was checked against.

    Returns warnings, a sentence each: of texts that were read too often.
    """
    plan = StudyPlan.read(study)
    rows = [
        make_budget_row(label, identity, root / plan.runs[identity].folder, plan.runs[identity])
        for identity, label in plan.labels().items()
        if is_complete(root / plan.runs[identity].folder)
    ]
    copy_validation(root, study, [root / entry.folder for entry in plan.runs.values()])
    write_json(study / "budget.json", {"schema_version": SCHEMA_VERSION, "arms": rows})
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    write_text(study / "budget.csv", table.to_csv(index=False))
    write_text(study / "budget.md", str(table.to_markdown(index=False)) + "\n")
    return [
        f"{each['label']} (seed {each['seed']}) read its texts {each['epochs']:.1f} times, more "
        f"than {MANY_EPOCHS}. Lower budget.total_tokens or give it more data."
        for each in rows
        if each["epochs"] > MANY_EPOCHS
    ]


def make_budget_row(label: str, identity: str, folder: Path, entry: RunEntry) -> dict[str, Any]:
    """One run beside the others; an untrained one has spent nothing."""
    amounts: dict[str, Any] = dict.fromkeys(LEDGER_COLUMNS, 0)
    labels = {"label": label, "seed": entry.seed, "run": identity, "texts": None}
    if not entry.trained:
        return labels | amounts
    ledger = read_sealed(folder / "manifest.json")["ledger"]
    recipe = read_recipe(folder).recipe
    budget, train = recipe["budget"], recipe["train"]
    return {
        **labels,
        "texts": ledger["texts"],
        **{key: ledger[key] for key in LEDGER_COLUMNS},
        "global_batch": global_batch(read_group("budget", budget)),
        **{key: budget[key] for key in BATCH_COLUMNS},
        **{key: train[key] for key in SCHEDULE_COLUMNS},
    }


def copy_validation(root: Path, study: Path, runs: Iterable[Path]) -> None:
    """The report of the trained runs' data into the study; a refusal's before any other."""
    trained = [node for node in map(read_recipe, runs) if node.recipe["trained"]]
    # Many runs read one report; the last run's comes first.
    names = dict.fromkeys(node.needs["validation"] for node in reversed(trained))
    reports = []
    for artifact in (root / "artifacts" / name for name in names):
        if (artifact / REPORT).is_file():
            if is_complete(artifact):
                manifest.verify_artifact(artifact)
            reports.append(artifact / REPORT)
    if reports:
        leaks = [path for path in reports if read_json(path)["verdict"] != "clean"]
        shutil.copyfile((leaks or reports)[0], study / REPORT)
