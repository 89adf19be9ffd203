"""From a source to a split on disk with its validation report: written whole, or not at all."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.data.contamination import normalise
from kvdistill.data.leakage import MAX_SHOWN, Document, DocumentSet, Leakage
from kvdistill.data.rows.duplicates import deduplicate_records
from kvdistill.data.sources.base import Source
from kvdistill.data.split import Split, Splitting, measure_task_shares, read_split, write_split
from kvdistill.errors import ConfigError
from kvdistill.records import SCHEMA_VERSION, Record

SHARE_TOLERANCE = 0.01
"""How far a task's share of a part may be from the configured ratio; reported, never refused."""
MAX_ANSWER = 80
"""Characters of an answer that the report shows."""


class LeakError(ConfigError):
    """Data that leaks; `report` is the whole validation report."""

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """How a source's records are split, and what of them counts as a leak."""

    split: Splitting = field(default_factory=Splitting)
    leakage: Leakage = field(default_factory=Leakage)


def build_data(
    source: Source, settings: DataSettings, folder: Path, outside_sets: Sequence[DocumentSet] = ()
) -> dict[str, Any]:
    """Writes the split and its report into `folder`, and returns the report.

    `outside_sets` are compared with the split: evaluation tasks, few-shot examples, calibration
    rows. Raises ConfigError for bad records or an empty part and LeakError for a leak; then
    nothing is written.
    """
    reading = source.read_records()
    distinct = deduplicate_records(reading.records, settings.split.conflicts)
    parts = settings.split.assign_parts(distinct.records)
    split, near_copies = drop_near_copies(parts, settings)
    dropped = {
        "duplicates": distinct.duplicates,
        "conflicts": {
            "rule": settings.split.conflicts,
            "questions": len(distinct.conflicts),
            "records": sum(map(len, distinct.conflicts)),
            "shown": [
                {each.id: each.answer[:MAX_ANSWER] for each in group}
                for group in distinct.conflicts[:MAX_SHOWN]
            ],
        },
        "near_copies": {name: len(copies) for name, copies in near_copies.items()},
        "shown": [
            {"dropped": first, "kept": second}
            for copies in near_copies.values()
            for first, second in sorted(copies.items())[:MAX_SHOWN]
        ],
    }
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, so that os.replace stays within one file system.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".split-") as name:
        temporary = Path(name)
        write_split(split, temporary)
        report = _check_leakage(split, temporary, settings, outside_sets) | {
            "read": {name: tally.to_report() for name, tally in reading.tallies.items()},
            "dropped": dropped,
        }
        text = json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False)
        (temporary / layout.VALIDATION_REPORT).write_text(text + "\n", encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for path in sorted(temporary.iterdir()):
            os.replace(path, folder / path.name)  # noqa: PTH105
    return report


def drop_near_copies(
    split: Split, settings: DataSettings
) -> tuple[Split, dict[str, dict[str, str]]]:
    """The split, capped, without near copies between its parts, and which went, by part.

    Each with the item that it copies. Where near copies are not to be dropped, all stay.
    """
    dropped: dict[str, dict[str, str]] = {}
    if settings.leakage.near != "drop":
        return settings.split.cap_and_check(split), dropped
    # Until none is left: with fewer rows, wording that many shared may be rare enough to count,
    # and the check that follows would refuse what was left of it. The cap comes after the drop,
    # as near copies must not count among the student's rows, and takes rows out as well.
    while True:
        ids = {id for copies in dropped.values() for id in copies}
        try:
            kept = settings.split.cap_and_check(split.drop_records(ids))
        except ConfigError as error:
            if not ids:
                raise
            raise ConfigError(
                f"{error} {len(ids)} rows had been dropped as near copies of held-out ones "
                "(data.leakage.near=drop): rows that few templates make are near copies of each "
                "other. Write them from more templates, or keep them with data.leakage.near=report."
            ) from error
        sets = collect_part_sets(kept, settings.split.teacher_separate)
        copies = settings.leakage.find_near_copies(sets)
        if not any(copies.values()):
            return kept, dropped
        for name, each in copies.items():
            dropped.setdefault(name, {}).update(each)


def check_split(
    folder: Path, settings: DataSettings, outside_sets: Sequence[DocumentSet] = ()
) -> dict[str, Any]:
    """The validation report of a split as it lies on disk now; writes nothing.

    Raises ArtifactError for files that are no split, and LeakError for a leak.
    """
    return _check_leakage(read_split(Path(folder)), Path(folder), settings, outside_sets)


def collect_part_sets(split: Split, teacher_separate: bool) -> list[DocumentSet]:
    """The parts as sets to compare; train is one set where teachers and student share it."""
    held_out_sets = [
        DocumentSet("val", "val", make_documents(split.val)),
        DocumentSet("test", "test", make_documents(split.test)),
    ]
    train_sets = {"train_teachers": split.train_teachers, "train_student": split.train_student}
    if not teacher_separate:
        train_sets = {"train": split.train_student}
    return [
        DocumentSet(name, "train", make_documents(half)) for name, half in train_sets.items()
    ] + held_out_sets


def make_documents(records: Sequence[Record]) -> list[Document]:
    """The questions of records, under the records' ids."""
    return [Document(record.id, record.question) for record in records]


def _collect_rationale_sets(split: Split) -> list[DocumentSet]:
    """The worked answers of train: an evaluation item may hide in one."""
    return [
        DocumentSet(
            f"{name}.rationale",
            "rationale",
            [Document(record.id, record.rationale) for record in half if record.rationale],
        )
        for name, half in split.parts().items()
        if name.startswith("train")
    ]


def _check_leakage(
    split: Split, folder: Path, settings: DataSettings, outside_sets: Sequence[DocumentSet]
) -> dict[str, Any]:
    """The report of `split`, whose files lie in `folder`. Raises LeakError with it for a leak."""
    teacher_separate = settings.split.teacher_separate
    sets = [
        *collect_part_sets(split, teacher_separate),
        # Compared with outside sets only: between parts a rationale repeats its own question.
        *(_collect_rationale_sets(split) if outside_sets else ()),
        *outside_sets,
    ]
    result = settings.leakage(sets)
    report = {
        "schema_version": SCHEMA_VERSION,
        "verdict": result.verdict,
        "normalisation": normalise.SPECIFICATION,
        "settings": {
            "ratios": list(settings.split.ratios),
            "teacher_separate": teacher_separate,
            "salt": settings.split.salt,
            "near": settings.leakage.near,
            "allow": [dict(entry) for entry in settings.leakage.allow],
        },
        "files": {
            name: _describe_file(folder / name) for name in (f"{p}.jsonl" for p in split.parts())
        },
        "sets": {each.name: {"role": each.role, "rows": len(each.documents)} for each in sets},
        "stratification": _measure_stratification(split, settings.split),
        "pairs": [asdict(pair) for pair in result.pairs],
        "tainted": result.tainted,
    }
    if result.verdict != "clean":
        raise LeakError(settings.leakage.describe_refusal(result, sets), report)
    return report


def _describe_file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"rows": content.count(b"\n"), "sha256": hashlib.sha256(content).hexdigest()}


def _measure_stratification(split: Split, splitting: Splitting) -> dict[str, Any]:
    """Each task's shares of train, val and test, and the worst distance from the ratios."""
    task_shares = measure_task_shares(split)
    target_shares = dict(zip(("train", "val", "test"), splitting.ratios, strict=True))
    worst = max(
        abs(share - target_shares[part])
        for task in task_shares.values()
        for part, share in task.items()
    )
    return {
        "shares": task_shares,
        "worst": worst,
        "tolerance": SHARE_TOLERANCE,
        "within": worst <= SHARE_TOLERANCE,
    }
