"""Where a task's rows come from, and which of them are scored.

Rows are read here rather than by `datasets`, which refuses data sets that are scripts, and whose
cache serves a rewritten local file of the same size and time as the old one.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from kvdistill.data.hub_files import HubDataError, HubSplit, read_hub_split
from kvdistill.data.table_files import Row
from kvdistill.errors import ArtifactError, ConfigError


class MissingDataError(ArtifactError):
    """A task's data is not to be had: the task is left out and named, with no macro average."""


def read_rows(
    *, repo: str, folder: str, config: str, split: str, data_root: str | None,
    revision: str = "main", files: Sequence[str] = (), needs: Sequence[str] = (),
) -> list[Row]:  # fmt: skip
    """Every row of one split: from `data_root/folder` where a root is given, else from the Hub.

    Raises MissingDataError where it is not to be had there, and ConfigError where its rows lack a
    column that the task `needs`.
    """
    if data_root is None:
        source = HubSplit(repo=repo, config=config, split=split, revision=revision, files=files)
        rows, place = read_from_hub(source), str(source)
    else:
        path = find_local_file(Path(data_root) / folder, config, split, repo)
        rows, place = read_jsonl(path), str(path)
    check_columns(rows, needs, place)
    return rows


def read_from_hub(source: HubSplit) -> list[Row]:
    """The rows; MissingDataError, with its causes and what helps, where they are not to be had."""
    try:
        return read_hub_split(source)
    except HubDataError as error:
        remedy = error.remedy.replace("a local copy in its place", "a copy below tasks.data_root")
        raise MissingDataError(f"{error.what}. {remedy}.") from error


def find_local_file(folder: Path, config: str, split: str, repo: str) -> Path:
    """The file of a split below a data root. Raises MissingDataError."""
    # As on the Hub, a benchmark with one config has no folder for it.
    for path in (folder / config / f"{split}.jsonl", folder / f"{split}.jsonl"):
        if path.is_file():
            return path
    raise MissingDataError(
        f"tasks.data_root={folder.parent}: no {folder.name}/{config}/{split}.jsonl there. Put a "
        f"copy of {repo} there, or leave out tasks.data_root to fetch it from the Hub."
    )


def check_columns(rows: Sequence[Row], needs: Sequence[str], place: str) -> None:
    """Raises ConfigError for no rows, and for rows without a column that is needed."""
    if not rows:
        raise ConfigError(f"{place} has no rows. Copy or fetch it again.")
    for number, row in enumerate(rows, start=1):
        if absent := [name for name in needs if name not in row]:
            raise ConfigError(
                f"{place}, row {number}: no {' and no '.join(absent)}, only {', '.join(row)}. "
                "These are not the rows of its benchmark: copy or fetch it again."
            )


def read_jsonl(path: Path) -> list[Any]:
    """The rows of a JSONL file, in order, whatever they are."""
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
