"""The records of a scored model: results.json and items.parquet."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill import distributed, layout
from kvdistill.config.build import build_node
from kvdistill.errors import ArtifactError
from kvdistill.evaluate import aggregate
from kvdistill.evaluate.counterparts import score_counterparts
from kvdistill.evaluate.harness import evaluate
from kvdistill.evaluate.leak_check import locate_scored_rows
from kvdistill.evaluate.results import Evaluation
from kvdistill.evaluate.task_data import read_jsonl
from kvdistill.evaluate.throughput import compare_throughput
from kvdistill.files import read_json, write_json
from kvdistill.records import HIGH_CUT_SHARE, SCHEMA_VERSION, TaskScore
from kvdistill.status import enter_phase

log = logging.getLogger(__name__)

PROMPTS = 8
"""Questions of the test part that the speed of writing is measured on."""


@dataclass(frozen=True)
class ScoredModel:
    """What a model answered, and what that took."""

    evaluation: Evaluation
    counterparts: Mapping[str, Any]
    """Scores of lm-eval's own tasks, where the suite asks for them."""
    seconds: float


def score_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    config: Mapping[str, Any],
    needs: Mapping[str, Path],
    progress: Callable[[int, int], None],
) -> ScoredModel:
    """Scores the model on the config's suite; every rank must call this, and answers its share."""
    suite = build_node("tasks", config["tasks"])
    began = time.monotonic()
    # The response cache lies among the artefacts, so that all runs below one root share it.
    artifacts = needs["split"].parent
    with enter_phase("scoring"):  # what `progress` counts are answers then, no steps of training
        evaluation = evaluate(
            model, tokenizer, suite, locate_scored_rows(needs["split"]), progress, artifacts,
            divide=True,
        )  # fmt: skip
    seconds = time.monotonic() - began
    facts: Mapping[str, Any] = {}
    if suite.counterparts and not config["trained"]:
        facts = score_counterparts(model, tokenizer, suite, progress, artifacts)
    return ScoredModel(evaluation, facts, seconds)


def write_run_records(
    model: PreTrainedModel,
    raw: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    scored: ScoredModel,
    config: Mapping[str, Any],
    needs: Mapping[str, Path],
    folder: Path,
    ledger: Mapping[str, Any],
) -> None:
    """Writes results.json and items.parquet of a scored model into `folder`.

    `raw` is the student before training (the model itself where nothing is trained).

    Raises ArtifactError where the items are not those that were checked for leaks.
    """
    suite, evaluation = build_node("tasks", config["tasks"]), scored.evaluation
    warn_of_cut_answers(evaluation)
    tasks = add_clean_scores(evaluation, needs["validation"])
    pd.DataFrame([asdict(item) for item in evaluation.items]).to_parquet(folder / layout.ITEMS)
    write_json(
        folder / layout.RESULTS,
        {
            "schema_version": SCHEMA_VERSION,
            "suite": suite.name,
            "tasks": {name: asdict(tasks[name]) for name in suite.tasks if name in tasks},
            "beside": {name: asdict(tasks[name]) for name in suite.beside if name in tasks},
            "macro": evaluation.macro,
            "macro_clean": aggregate.compute_macro_average(tasks, suite.tasks, "clean"),
            "macro_by_subject": evaluation.macro_by_subject,
            "macro_normalised": evaluation.macro_normalised,
            "missing": evaluation.missing,
            "counterparts": scored.counterparts,
            "data_sha256": evaluation.data,
            "generalisation": {"spread": evaluation.spread, "gap": evaluation.gap},
            "efficiency": measure_efficiency(model, raw, tokenizer, needs["split"], ledger)
            | {
                "evaluate_s": scored.seconds,
                "evaluation": {
                    "ranks": distributed.count_ranks(),
                    "batch_size": suite.batch_size,
                    "batches": evaluation.batches,
                },
            },
        },
    )


def warn_of_cut_answers(evaluation: Evaluation) -> None:
    """Logs each task many of whose answers were cut off: its score is one of the length as well."""
    for name, score in evaluation.tasks.items():
        if score.truncated > HIGH_CUT_SHARE:
            log.warning(
                "task %s: %.0f %% of %d answers were cut off at the length limit, and %.0f %% of "
                "all have no answer that can be read. Raise tasks.max_gen_toks, or show worked "
                "examples (tasks.shots)",
                name, 100 * score.truncated, score.n, 100 * score.unparsed,
            )  # fmt: skip


def measure_efficiency(
    model: PreTrainedModel,
    raw: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    split: Path,
    ledger: Mapping[str, Any],
) -> dict[str, Any]:
    """Parameters and speed of writing of both; and, with a ledger, what training cost."""
    # A model over several GPUs is where it is, and must not be moved.
    if raw is not model:
        raw.to(model.device)  # type: ignore[arg-type]  # wrongly stubbed
    with enter_phase("speed of writing") as progress:
        writes, raw_writes = compare_throughput(
            [model, raw], tokenizer, read_prompts(split), progress=progress
        )
    costs: dict[str, Any] = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "raw_parameters": sum(p.numel() for p in raw.parameters()),
        "tokens_per_second": writes,
        "raw_tokens_per_second": raw_writes,
        "device": distributed.describe_device(),
    }
    if not ledger:
        return costs  # nothing was trained
    converged = ledger["convergence"] or {}
    return costs | {
        "steps": ledger["steps"],
        "train_s": ledger["train_s"],
        "train_tokens_per_second": ledger["real_tokens"] / ledger["train_s"],
        "peak_bytes": ledger["peak_bytes"],
        "speed": ledger.get("speed", {}),
        "converged_score": converged.get("score"),
        "converged_step": converged.get("step"),
        "converged_s": converged.get("train_s"),
    }


def add_clean_scores(evaluation: Evaluation, validation: Path) -> dict[str, TaskScore]:
    """Every task's score, with that of the items that no training text contains.

    Raises ArtifactError where a task's rows are not those that the leak check hashed.
    """
    report = read_json(validation / layout.VALIDATION_REPORT)
    # A benchmark on the Hub, or its local copy, may have changed since the check.
    for name, rows in evaluation.data.items():
        if report["tasks_sha256"].get(name) != rows:
            raise ArtifactError(
                f"the items of {name} are not those that were checked for leaks in {validation}. "
                f"Put its data back, or delete {validation} and repeat the command."
            )
    return {
        name: aggregate.score_clean_items(
            score, [item for item in evaluation.items if item.task == name], report["tainted"][name]
        )
        for name, score in evaluation.tasks.items()
    }


def read_prompts(split: Path) -> list[str]:
    """The first questions of the test part, in the form of the tasks, for every model alike."""
    rows = islice(read_jsonl(split / "test.jsonl"), PROMPTS)
    return [f"Question: {row['question']}\nReasoning:" for row in rows]
