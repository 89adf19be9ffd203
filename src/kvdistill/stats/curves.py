"""curves.jsonl and routing.json of a run, as tables."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from kvdistill import layout
from kvdistill.errors import ArtifactError
from kvdistill.files import read_json
from kvdistill.stats.study import Run

EMPTY_CURVES = pd.DataFrame(columns=["step", "split"])


def read_run_curves(run: Run) -> pd.DataFrame:
    """One row a log point (step, split, columns as logged); empty where nothing was trained."""
    return read_curves(run.folder / layout.CURVES) if run.done else EMPTY_CURVES


def read_curves(path: Path) -> pd.DataFrame:
    """The file's lines as rows; no rows where there is no file. Raises ArtifactError."""
    if not path.is_file():
        return EMPTY_CURVES
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    except ValueError as error:
        raise ArtifactError(f"{path} has a broken line: {error}. Train the run again.") from error
    table = pd.DataFrame(lines, columns=None if lines else ["step", "split"])
    # A resumed run logs the steps after its checkpoint again; the later line is the run's.
    return (
        table.groupby(["step", "split"], as_index=False, sort=True).last()
        if lines
        else EMPTY_CURVES
    )


def read_last_value(run: Run, column: str, split: str = "val") -> float | None:
    """The last logged value of a column; None where it was never logged."""
    table = read_run_curves(run)
    if column not in table or "split" not in table:
        return None
    known = table[(table["split"] == split) & table[column].notna()]
    return float(known.sort_values("step")[column].iloc[-1]) if len(known) else None


def read_routing_weights(run: Run) -> dict[str, dict[str, dict[str, float]]]:
    """Task -> teacher's name -> layer -> mean weight; empty without a router."""
    path: Path = run.folder / layout.ROUTING
    if not (run.done and path.is_file()):
        return {}
    names = name_teachers(run)
    return {
        task: {names.get(role, role): by_layer for role, by_layer in by_role.items()}
        for task, by_role in read_json(path)["weights"].items()
    }


def name_teachers(run: Run) -> dict[str, str]:
    """Role -> name of each of a run's teachers; a model in two roles has its role beside it."""
    teachers = run.config.get("teachers") or {}
    names = {role: str(node.get("name", role)) for role, node in teachers.items()}
    repeated = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {role: f"{name} ({role})" if name in repeated else name for role, name in names.items()}


def average_over_layers(
    weights: Mapping[str, Mapping[str, Mapping[str, float] | float]],
) -> pd.DataFrame:
    """Tasks x teachers: weights averaged over layers."""
    rows = {
        task: {
            teacher: float(np.mean(list(w.values()) if isinstance(w, Mapping) else [w]))
            for teacher, w in teachers.items()
        }
        for task, teachers in weights.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def mutual_information(weights: np.ndarray) -> float:
    """Mutual information, in nats, of task and teacher weight (tasks x teachers, equal tasks).

    Sum of p(task, teacher) log(p(task, teacher) / (p(task) p(teacher))) (Shannon 1948).
    """
    return float(compute_information(weights[None])[0])


def compute_information(tables: np.ndarray) -> np.ndarray:
    """`mutual_information` of each of many tables (draws x tasks x teachers)."""
    joint = tables / tables.sum(axis=(1, 2), keepdims=True)
    outer = joint.sum(axis=2, keepdims=True) * joint.sum(axis=1, keepdims=True)
    # A pair that never occurs adds nothing: x log x is 0 at 0.
    ratio = np.divide(joint, outer, out=np.ones_like(joint), where=joint > 0)
    return np.asarray((joint * np.log(ratio)).sum(axis=(1, 2)))


def routing_permutation_test(
    runs: list[np.ndarray], rng: np.random.Generator, draws: int = 9999
) -> tuple[float, float]:
    """(mutual information of the seeds' mean weights, permutation p).

    Tasks are permuted within each seed: a router that treats tasks alike but noisily differs
    from task to task in one seed, and not in the same way in the next.
    """
    observed = mutual_information(np.mean(runs, axis=0))
    tasks = np.tile(np.arange(len(runs[0])), (draws, 1))
    shuffled = np.mean([weights[rng.permuted(tasks, axis=1)] for weights in runs], axis=0)
    exceedances = int((compute_information(shuffled) >= observed - 1e-12).sum())
    # The observed order is one of the permutations, so p is never 0 (Phipson and Smyth 2010).
    return observed, (exceedances + 1) / (draws + 1)
