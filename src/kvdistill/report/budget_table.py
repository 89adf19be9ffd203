"""budget.{json,csv,md} of a study: what each finished run trained on and what it cost."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from kvdistill import layout, manifest
from kvdistill.config.schema import read_group
from kvdistill.errors import ArtifactError, UserError
from kvdistill.files import is_complete, read_json, read_sealed, write_json, write_text
from kvdistill.plan.budget import global_batch
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.graph import Node
from kvdistill.plan.study_plan import RunEntry, StudyPlan
from kvdistill.records import MANY_EPOCHS, SCHEMA_VERSION

LEDGER_COLUMNS = (
    "steps", "sequences", "planned_tokens", "real_tokens", "epochs", "student_flops",
    "teacher_flops", "stored_bytes", "train_s",
)  # fmt: skip
"""Columns taken from a run's ledger; seconds are measured, the rest is counted."""
SHARE_COLUMNS = ("truncated_share", "unanswered_share")
"""Of the texts: cut at seq_len, and left without one answer token."""
BATCH_COLUMNS = ("batch_size", "num_gpus", "grad_accum", "seq_len")
SCHEDULE_COLUMNS = ("lr", "lr_scheduler_type", "warmup_ratio", "weight_decay", "max_grad_norm")
COLUMNS = (
    "label", "seed", "run", "texts", *LEDGER_COLUMNS, *SHARE_COLUMNS, "global_batch",
    *BATCH_COLUMNS, *SCHEDULE_COLUMNS, "matched",
)  # fmt: skip
"""`matched`: the arm whose FLOPs the steps were worked out from."""


def write_budget(root: Path, study: Path) -> list[str]:
    """Writes the budget of every finished run, and what its data was checked against.

    Returns warnings, a sentence each: of texts that were read too often, and of run folders that
    cannot be read, which have no row.
    """
    plan = StudyPlan.read(study)
    rows, broken = make_budget_rows(root, plan)
    copy_validation(root, study, [root / entry.folder for entry in plan.runs.values()])
    write_json(study / f"{layout.BUDGET}.json", {"schema_version": SCHEMA_VERSION, "arms": rows})
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    write_text(study / f"{layout.BUDGET}.csv", table.to_csv(index=False))
    write_text(study / f"{layout.BUDGET}.md", str(table.to_markdown(index=False)) + "\n")
    return broken + [
        f"{row['label']} (seed {row['seed']}) read its texts {row['epochs']:.1f} times, more "
        f"than {MANY_EPOCHS}. Lower budget.total_tokens or give it more data."
        for row in rows
        if row["epochs"] > MANY_EPOCHS
    ]


def make_budget_rows(root: Path, plan: StudyPlan) -> tuple[list[dict[str, Any]], list[str]]:
    """A row a finished run; and a sentence for each whose folder is gone or cannot be read."""
    rows, broken = [], []
    matched = map_matched_runs(plan)
    for identity, label in plan.labels().items():
        entry = plan.runs[identity]
        folder = root / entry.folder
        try:
            if is_complete(folder):
                row = make_budget_row(label, identity, folder, entry)
                rows.append({**row, "matched": matched.get(identity)})
        # The other runs spent what they spent.
        except (UserError, KeyError) as error:
            broken.append(f"{label} (seed {entry.seed}) has no row in the budget: {error}")
        if not folder.is_dir():
            broken.append(f"{label} (seed {entry.seed}): {folder} is gone: deleted or renamed.")
    return rows, broken


def map_matched_runs(plan: StudyPlan) -> dict[str, str]:
    """Identity -> `FLOPs of ARM`, of each run whose steps were worked out from another arm's."""
    return {
        identity: f"FLOPs of {other}"
        for question in plan.questions.values()
        for label, other in question.matched.items()
        for identity in question.arms.get(label, {}).values()
    }


def make_budget_row(label: str, identity: str, folder: Path, entry: RunEntry) -> dict[str, Any]:
    """A run's ledger, batch and schedule by COLUMNS; zeros for an untrained run."""
    labels: dict[str, Any] = {"label": label, "seed": entry.seed, "run": identity, "texts": None}
    if not entry.trained:
        return labels | dict.fromkeys((*LEDGER_COLUMNS, *SHARE_COLUMNS), 0)
    ledger = read_sealed(folder / layout.MANIFEST)["ledger"]
    recipe = read_recipe(folder).recipe
    budget, train = recipe["budget"], recipe["train"]
    return {
        **labels,
        "texts": ledger["texts"],
        **{key: ledger[key] for key in LEDGER_COLUMNS},
        **measure_text_shares(ledger),
        "global_batch": global_batch(read_group("budget", budget)),
        **{key: budget[key] for key in BATCH_COLUMNS},
        **{key: train[key] for key in SCHEDULE_COLUMNS},
    }


def measure_text_shares(ledger: Mapping[str, Any]) -> dict[str, float | None]:
    """By SHARE_COLUMNS, shares of the distinct texts; None in a ledger that did not count them."""
    texts = ledger["sequences"] / ledger["epochs"] if ledger["epochs"] else 0
    counts = (ledger.get("truncated_texts"), ledger.get("unanswered_texts"))
    return {
        name: None if count is None or not texts else round(count / texts, 4)
        for name, count in zip(SHARE_COLUMNS, counts, strict=True)
    }


def copy_validation(root: Path, study: Path, runs: Iterable[Path]) -> None:
    """Copies the validation report of the trained runs' data into the study.

    Of several, one that found a leak goes before any other; without a trained run there is none.
    """
    trained = [node for node in list_readable_recipes(runs) if node.recipe["trained"]]
    # Many runs read one report; the last run's comes first.
    names = dict.fromkeys(node.needs["validation"] for node in reversed(trained))
    reports = []
    for artifact in (layout.artifact_folder(root, name) for name in names):
        report = artifact / layout.VALIDATION_REPORT
        if report.is_file():
            # A report that refuses the data lies in an artefact that never gets its manifest.
            if is_complete(artifact):
                manifest.verify_artifact(artifact)
            reports.append(report)
    if reports:
        leaks = [path for path in reports if read_json(path)["verdict"] != "clean"]
        shutil.copyfile((leaks or reports)[0], study / layout.VALIDATION_REPORT)


def list_readable_recipes(folders: Iterable[Path]) -> Iterator[Node]:
    """What was frozen in each of these folders that still holds it."""
    for folder in folders:
        # A folder that is gone or altered is named by the budget and by the report.
        with contextlib.suppress(ArtifactError):
            yield read_recipe(folder)
