"""items.parquet as arrays: one vector of correctness a task, in an order shared by paired runs."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kvdistill.errors import ArtifactError
from kvdistill.stats.study import ItemSet

KEY_COLUMNS = ("task", "item", "doc_hash", "prompt_hash")
TaskRows = dict[str, tuple[np.ndarray, ItemSet]]
"""Task -> rows of the file in the item set's order, and that set."""


class ItemReader:
    """Reads item files, keeping one copy of each item set.

    Most runs of a study list the same items in the same order; those pay for sorting once.
    """

    def __init__(self) -> None:
        self.orders: dict[str, TaskRows] = {}
        self.sets: dict[str, ItemSet] = {}

    def __call__(self, path: Path) -> dict[str, tuple[np.ndarray, ItemSet]]:
        """Task -> (correctness as float32, its item set). Raises ArtifactError naming the file."""
        table = read_columns(path)
        order = self.read_order(table, path)
        correct = table.column("correct").to_numpy().astype(np.float32)
        if np.isnan(correct).any():
            raise ArtifactError(f"{path}: an item has no score (NaN). Evaluate the run again.")
        if len(correct) and not (correct.min() >= 0 and correct.max() <= 1):
            raise ArtifactError(f"{path}: correct must be in [0, 1]; percent are not accepted.")
        return {task: (correct[rows], items) for task, (rows, items) in order.items()}

    def read_order(self, table: pa.Table, path: Path) -> TaskRows:
        """The sorted rows of each task, remembered by the content of the key columns."""
        digest = hashlib.sha256()
        for name in KEY_COLUMNS:
            for buffer in table.column(name).combine_chunks().buffers():
                digest.update(buffer or b"")
                digest.update(b"\0")  # two columns must not run into one
        key = digest.hexdigest()
        if key not in self.orders:
            self.orders[key] = self.sort_items(table, path)
        return self.orders[key]

    def sort_items(self, table: pa.Table, path: Path) -> TaskRows:
        keys = {name: table.column(name).to_numpy() for name in KEY_COLUMNS}
        rows_by_task: TaskRows = {}
        for task in dict.fromkeys(keys["task"].tolist()):
            rows = np.flatnonzero(keys["task"] == task)
            rows = rows[np.argsort(keys["item"][rows].astype(str), kind="stable")]
            part = {name: column[rows] for name, column in keys.items()}
            duplicates = part["item"][1:][part["item"][1:] == part["item"][:-1]]
            if len(duplicates):
                raise ArtifactError(
                    f"{path}: item {duplicates[0]!r} of {task} stands there twice; it would count "
                    "double in every interval. Keep one filter a task."
                )
            rows_by_task[task] = (rows, self.share_item_set(task, part))
        return rows_by_task

    def share_item_set(self, task: str, part: Mapping[str, np.ndarray]) -> ItemSet:
        """The set of these items; the same object for the same content."""
        lines = zip(*(part[name].tolist() for name in KEY_COLUMNS[1:]), strict=True)
        text = "\n".join("\0".join(map(str, line)) for line in lines)
        digest = hashlib.sha256(f"{task}\n{text}".encode()).hexdigest()
        if digest not in self.sets:
            self.sets[digest] = ItemSet(
                task=task,
                digest=digest,
                ids=part["item"],
                documents=part["doc_hash"],
                prompts=part["prompt_hash"],
                subjects=encode_subjects(part["item"]),
            )
        return self.sets[digest]


def read_columns(path: Path) -> pa.Table:
    """The columns that statistics need. Raises ArtifactError naming what is missing."""
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(
            f"{path} is no parquet file: {error}. Evaluate the run again."
        ) from error
    with file:
        for name in (*KEY_COLUMNS, "correct"):
            if name not in file.schema_arrow.names:
                raise ArtifactError(f"{path} has no column {name}. Evaluate the run again.")
        return file.read(columns=[*KEY_COLUMNS, "correct"], use_threads=False)


def encode_subjects(ids: np.ndarray) -> np.ndarray | None:
    """A code an item for the subject in its id (`subject/number`); None without subjects."""
    names = np.array([item.rpartition("/")[0] for item in ids.tolist()])
    kinds, codes = np.unique(names, return_inverse=True)
    return codes if 1 < len(kinds) < len(codes) else None


def explain_item_mismatch(a: ItemSet, b: ItemSet) -> str | None:
    """Why two item sets are not the same questions, in one line; None when they are."""
    if a.digest == b.digest:
        return None
    left = {i: (d, p) for i, d, p in zip(a.ids, a.documents, a.prompts, strict=True)}
    right = {i: (d, p) for i, d, p in zip(b.ids, b.documents, b.prompts, strict=True)}
    if alone := sorted(set(left) ^ set(right)):
        return (
            f"{a.task}: {len(left)} items against {len(right)}, {len(alone)} of them in one arm "
            f"only (first: {alone[0]})"
        )
    for kind, place in (("document", 0), ("prompt", 1)):
        if differ := sorted(i for i in left if left[i][place] != right[i][place]):
            return f"{a.task}: the {kind} of {len(differ)} items differs (first: {differ[0]})"
    return None
