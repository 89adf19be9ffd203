"""The records of a scored model: results.json and items.parquet."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill.config.build import build
from kvdistill.evaluate.harness import evaluate
from kvdistill.files import write_json
from kvdistill.records import SCHEMA_VERSION


def write(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: Mapping[str, Any],
    split: Path,
    folder: Path,
    ledger: Mapping[str, Any],
    progress: Callable[[int, int], None],
) -> None:
    """Scores the model on the config's suite and writes what came of it into `folder`."""
    suite = build("tasks", config["tasks"])
    data = {"test": split / "test.jsonl", "train": split / "train_student.jsonl"}
    began = time.monotonic()
    found = evaluate(model, tokenizer, suite, data, progress, folder / "answers")
    seconds = time.monotonic() - began
    pd.DataFrame([asdict(item) for item in found.items]).to_parquet(folder / "items.parquet")
    write_json(
        folder / "results.json",
        {
            "schema_version": SCHEMA_VERSION,
            "suite": suite.name,
            "tasks": {name: asdict(score) for name, score in found.tasks.items()},
            "macro": found.macro,
            "macro_by_subject": found.macro_by_subject,
            "macro_normalised": found.macro_normalised,
            "missing": found.missing,
            "data_sha256": found.data,
            "efficiency": {
                "parameters": sum(p.numel() for p in model.parameters()),
                "evaluate_s": seconds,
                **{key: ledger[key] for key in ("train_s", "steps") if key in ledger},
            },
        },
    )
