"""From a source to a split on disk, with its leakage report; refused rather than half written."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvdistill.data import normalise
from kvdistill.data.leakage import MAX_SHOWN, Document, Documents, Leakage, refusal
from kvdistill.data.ngrams import Vocabulary
from kvdistill.data.overlap import Corpus, equal
from kvdistill.data.sources.base import Source
from kvdistill.data.split import Split, Splitting, read, shares, write
from kvdistill.errors import ConfigError
from kvdistill.records import SCHEMA_VERSION, Record

REPORT = "validation_report.json"
TOLERANCE = 0.01
"""How far a task's share of a part should be from the ratio asked for."""


class LeakError(ConfigError):
    """Data that leaks; `report` says where."""

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What becomes of a source's records."""

    split: Splitting = field(default_factory=Splitting)
    leakage: Leakage = field(default_factory=Leakage)


def build(
    source: Source, settings: Settings, folder: Path, against: Sequence[Documents] = ()
) -> dict[str, Any]:
    """Writes the split and its report into `folder`, and returns the report.

    `against` are the sets outside the split: evaluation tasks, few-shot examples, calibration
    rows. Raises ConfigError for bad records or an empty part and LeakError for a leak; then
    nothing is written.
    """
    records = source.records()
    distinct = without_duplicates(records)
    made = settings.split.deal(distinct)
    near: dict[str, dict[str, str]] = {}
    if settings.leakage.near == "drop":
        near = settings.leakage.near_copies(parts(made, settings.split.teacher_separate))
        made = made.without(set().union(*near.values()))
    made = settings.split.checked(made)
    dropped = {
        "duplicates": len(records) - len(distinct),
        "near_copies": {name: len(found) for name, found in near.items()},
        "shown": [
            {"dropped": first, "kept": second}
            for found in near.values()
            for first, second in sorted(found.items())[:MAX_SHOWN]
        ],
    }
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".split-") as room:
        write(made, Path(room))
        report = _checked(made, Path(room), settings, against) | {"dropped": dropped}
        text = json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False)
        (Path(room) / REPORT).write_text(text + "\n", encoding="utf-8")
        folder.mkdir(exist_ok=True)
        for path in sorted(Path(room).iterdir()):
            os.replace(path, folder / path.name)  # noqa: PTH105
    return report


def validate(folder: Path, settings: Settings, against: Sequence[Documents] = ()) -> dict[str, Any]:
    """Checks a split on disk again, as it is now; writes nothing.

    Raises ArtifactError for files that are no split, and LeakError for a leak.
    """
    return _checked(read(Path(folder)), Path(folder), settings, against)


def without_duplicates(records: Sequence[Record]) -> list[Record]:
    """The first of every set of records with one question."""
    corpus = Corpus([record.question for record in records], Vocabulary())
    later = {match.second for match in equal(corpus, corpus)}
    return [record for place, record in enumerate(records) if place not in later]


def parts(made: Split, separate: bool) -> list[Documents]:
    """The parts as sets to compare; one set of train where teachers and student share it."""
    sets = [
        Documents("val", "val", documents(made.val)),
        Documents("test", "test", documents(made.test)),
    ]
    halves = {"train_teachers": made.train_teachers, "train_student": made.train_student}
    if not separate:
        halves = {"train": made.train_student}
    return [Documents(name, "train", documents(half)) for name, half in halves.items()] + sets


def documents(records: Sequence[Record]) -> list[Document]:
    """The questions of records, as what leakage compares."""
    return [Document(record.id, record.question) for record in records]


def _rationales(made: Split) -> list[Documents]:
    """Worked answers: an evaluation item may hide in one."""
    return [
        Documents(
            f"{name}.rationale",
            "rationale",
            [Document(record.id, record.rationale) for record in half if record.rationale],
        )
        for name, half in made.parts().items()
        if name.startswith("train")
    ]


def _checked(
    made: Split, folder: Path, settings: Settings, against: Sequence[Documents]
) -> dict[str, Any]:
    separate = settings.split.teacher_separate
    sets = [*parts(made, separate), *(_rationales(made) if against else ()), *against]
    found = settings.leakage(sets)
    report = {
        "schema_version": SCHEMA_VERSION,
        "verdict": found["verdict"],
        "normalisation": normalise.SPECIFICATION,
        "settings": {
            "ratios": list(settings.split.ratios),
            "teacher_separate": separate,
            "salt": settings.split.salt,
            "near": settings.leakage.near,
            "allow": [dict(entry) for entry in settings.leakage.allow],
        },
        "files": {name: _file(folder / name) for name in (f"{p}.jsonl" for p in made.parts())},
        "sets": {each.name: {"role": each.role, "rows": len(each.documents)} for each in sets},
        "stratification": _stratification(made, settings.split),
        "pairs": found["pairs"],
        "tainted": found["tainted"],
    }
    if found["verdict"] != "clean":
        raise LeakError(refusal(found["pairs"]), report)
    return report


def _file(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"rows": content.count(b"\n"), "sha256": hashlib.sha256(content).hexdigest()}


def _stratification(made: Split, splitting: Splitting) -> dict[str, Any]:
    """Shares by task, as drawn; beyond the tolerance, another salt is another draw."""
    found = shares(made)
    wanted = dict(zip(("train", "val", "test"), splitting.ratios, strict=True))
    worst = max(
        abs(share - wanted[part]) for task in found.values() for part, share in task.items()
    )
    return {
        "shares": found,
        "worst": worst,
        "tolerance": TOLERANCE,
        "within": worst <= TOLERANCE,
    }
