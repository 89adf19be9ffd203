"""Where a task's rows come from, and which of them are scored.

Rows are read here rather than by `datasets`, whose cache serves a rewritten local file of the same
size and time as the old one: a local copy is parsed at every use, and only the Hub goes through it.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from kvdistill.errors import ArtifactError

Row = dict[str, Any]


class MissingDataError(ArtifactError):
    """A task's data is not to be had: the task is left out and named, with no macro average."""


def read_rows(
    *, repo: str, folder: str, config: str, split: str, data_root: str | None
) -> list[Row]:
    """Every row of one split: from `data_root/folder` where a root is given, else from the Hub.

    Raises MissingDataError where it is not to be had there.
    """
    if data_root is None:
        return _read_from_hub(repo, config, split)
    root = Path(data_root) / folder
    # As on the Hub, a benchmark with one config has no folder for it.
    for path in (root / config / f"{split}.jsonl", root / f"{split}.jsonl"):
        if path.is_file():
            return read_jsonl(path)
    raise MissingDataError(
        f"tasks.data_root={data_root}: no {folder}/{config}/{split}.jsonl there. Put a copy of "
        f"{repo} there, or leave out tasks.data_root to fetch it from the Hub."
    )


def read_jsonl(path: Path) -> list[Row]:
    """The rows of a JSONL file, in order."""
    try:
        with path.open(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise MissingDataError(f"{path} cannot be read as JSONL: {error}.") from error


def digest_text(text: str) -> str:
    """The first twelve hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def assign_ids(rows: Iterable[Row], text: str, subject: str = "") -> list[Row]:
    """The rows with an `id`: a digest of their text, so that a copy in another order pairs with it.

    The id of a benchmark with subjects is `subject/digest`. A text that comes again is numbered.
    """
    seen: dict[str, int] = defaultdict(int)
    out = []
    for row in rows:
        name = digest_text(str(row[text]))
        seen[name] += 1
        suffix = f"-{seen[name]}" if seen[name] > 1 else ""
        out.append({**row, "id": f"{subject}/{name}{suffix}" if subject else name + suffix})
    return out


def get_subject(item: str) -> str:
    """The subject part of an item id; empty where the benchmark has no subjects."""
    return item.rpartition("/")[0]


def sample_rows(rows: Sequence[Row], number: int | None) -> list[Row]:
    """A fixed sample, spread evenly over the subjects, in the rows' own order.

    Within a subject the smallest digests of the ids come first, so a smaller sample lies within a
    larger one, and no file order or random state matters.
    """
    if number is None or number >= len(rows):
        return list(rows)
    by_subject: dict[str, list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: digest_text(row["id"])):
        by_subject[get_subject(row["id"])].append(row["id"])
    ranked = sorted(
        (rank, digest_text(item), item)
        for items in by_subject.values()
        for rank, item in enumerate(items)
    )
    sampled_ids = {item for _, _, item in ranked[:number]}
    return [row for row in rows if row["id"] in sampled_ids]


def make_test_set(rows: Sequence[Row], limit: int | None) -> dict[str, datasets.Dataset]:
    """{"test": the sampled rows}, as lm-eval takes a task's data: in memory, past any cache."""
    return {"test": datasets.Dataset.from_list(sample_rows(rows, limit))}


def hash_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of the rows as sorted JSON, in order, whatever file they came from."""
    text = "\n".join(json.dumps(row, sort_keys=True, ensure_ascii=False) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_from_hub(repo: str, config: str, split: str) -> list[Row]:
    try:
        loaded = datasets.load_dataset(repo, config, split=split)
    except datasets.exceptions.DatasetNotFoundError as error:
        # Also how a gated data set answers someone whose terms are not accepted.
        raise MissingDataError(
            f"{repo} is not to be had from the Hub: it does not exist, or it is gated and "
            f"its terms are not accepted. Accept them at https://huggingface.co/datasets/{repo}, "
            f"then run `hf auth login`; or give tasks.data_root a folder with a copy."
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise MissingDataError(
            f"{repo} cannot be fetched from the Hub ({type(error).__name__}). Fetch it on a "
            f"machine with a network, or give tasks.data_root a folder with a copy."
        ) from error
    return [dict(row) for row in loaded]
