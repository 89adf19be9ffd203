"""Train, validation and test, and train in two halves: the teachers' and the student's.

A record's part is a function of its question alone: duplicates and both styles of a question stay
together, adding a row moves no other, and every machine agrees. Shares are therefore those of a
fair draw, not exact; the report says how far each task is off.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from kvdistill.data.contamination.normalise import compute_group_id
from kvdistill.data.rows.duplicates import check_conflict_rule
from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.records import Record

SPLIT_PARTS = ("train_teachers", "train_student", "val", "test")
DEFAULT_SALT = "kvdistill-split-v8400"
"""A salt whose draw keeps GSM8K within 1 % of the default ratios."""
HASH_RANGE = 1 << 64
"""Hashes of questions are whole numbers below it."""


@dataclass(frozen=True)
class Split:
    """The records of each part, in source order."""

    train_teachers: list[Record]
    train_student: list[Record]
    """The same list as the teachers' where `teacher_separate` is off."""
    val: list[Record]
    test: list[Record]

    def parts(self) -> dict[str, list[Record]]:
        """Name -> records, in the order of `SPLIT_PARTS`."""
        return {name: getattr(self, name) for name in SPLIT_PARTS}

    def drop_records(self, ids: Set[str]) -> "Split":
        """The split without the records of these ids."""
        return Split(
            **{
                name: [record for record in part if record.id not in ids]
                for name, part in self.parts().items()
            }
        )


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """Assigns records to parts by a hash of their question."""

    ratios: Sequence[float] = (0.70, 0.15, 0.15)
    """Shares of train, val and test."""
    teacher_separate: bool = True
    """Half of train for the teachers, half for the student; else both read all of it."""
    salt: str = DEFAULT_SALT
    """Another salt is another draw."""
    max_student_rows: int | None = None
    """At most so many records in the student's half, the first by hash."""
    conflicts: str = "drop"
    """What becomes of a question that comes twice with answers that differ: `drop` keeps neither,
    `refuse` refuses the data, `first` keeps the first."""

    def __post_init__(self) -> None:
        ratios = list(self.ratios)
        if len(ratios) != 3 or any(not 0 < r < 1 for r in ratios):
            raise ConfigError(
                "data.split.ratios must be three shares above 0, of train, val and test, "
                f"got {ratios}."
            )
        if not math.isclose(sum(ratios), 1.0, abs_tol=1e-9):
            raise ConfigError(
                f"data.split.ratios must sum to 1, got {ratios}, which sum to {sum(ratios):g}."
            )
        if self.max_student_rows is not None and self.max_student_rows < 1:
            raise ConfigError(
                "data.split.max_student_rows must be at least 1 or null for all, "
                f"got {self.max_student_rows}."
            )
        check_conflict_rule(self.conflicts, "data.split.conflicts")

    def __call__(self, records: Sequence[Record]) -> Split:
        """The split of the records. Raises ConfigError for an empty part or an id used twice."""
        return self.cap_and_check(self.assign_parts(records))

    def assign_parts(self, records: Sequence[Record]) -> Split:
        """Each record to its part, whatever the others are; parts may be empty.

        Raises ConfigError for an id used twice.
        """
        _check_unique_ids(records)
        ends = [round(sum(self.ratios[:count]) * HASH_RANGE) for count in (1, 2)]
        teachers: list[Record] = []
        # Where the halves are not separate, both are this one list.
        split = Split(teachers, [] if self.teacher_separate else teachers, [], [])
        for record in records:
            part_hash, half_hash = self._hash_question(record)
            if part_hash >= ends[1]:
                split.test.append(record)
            elif part_hash >= ends[0]:
                split.val.append(record)
            elif self.teacher_separate and half_hash >= HASH_RANGE // 2:
                split.train_student.append(record)
            else:
                teachers.append(record)
        return split

    def cap_and_check(self, split: Split) -> Split:
        """The split with at most `max_student_rows`. Raises ConfigError for an empty part."""
        split = replace(split, train_student=self._cap_student_rows(split.train_student))
        for name, part in split.parts().items():
            if not part:
                raise ConfigError(
                    f"data.split leaves {name} empty at ratios {list(self.ratios)}: "
                    f"{ {name: len(part) for name, part in split.parts().items()} }. "
                    "Add records or change data.split.ratios."
                )
        return split

    def _hash_question(self, record: Record) -> tuple[int, int]:
        """Two independent 64-bit hashes of the question, for its part and for its half of train."""
        key = f"{self.salt}\n{compute_group_id(record.question)}".encode()
        digest = hashlib.sha256(key).digest()
        return int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big")

    def _cap_student_rows(self, records: list[Record]) -> list[Record]:
        if self.max_student_rows is None or len(records) <= self.max_student_rows:
            return records
        # The first by hash, not by order: which rows are kept does not depend on how they came.
        first = sorted(records, key=self._hash_question)[: self.max_student_rows]
        kept = {record.id for record in first}
        return [record for record in records if record.id in kept]


def measure_task_shares(split: Split) -> dict[str, dict[str, float]]:
    """By task, the share of its records in train, val and test."""
    counts: dict[str, Counter[str]] = {"train": Counter(), "val": Counter(), "test": Counter()}
    seen: set[str] = set()
    for name, part in split.parts().items():
        # The halves are one list where teachers and student share it.
        fresh = [record for record in part if record.id not in seen]
        seen |= {record.id for record in fresh}
        counts[name.split("_")[0]].update(record.task for record in fresh)
    totals = sum(counts.values(), Counter())
    return {
        task: {name: count[task] / totals[task] for name, count in counts.items()}
        for task in sorted(totals)
    }


def write_split(split: Split, folder: Path) -> None:
    """Writes one PART.jsonl a part, a record a line."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in split.parts().items():
        lines = [json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in part]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


def read_split(folder: Path) -> Split:
    """What `write_split` wrote. Raises ArtifactError naming file and row of what is no record."""
    return Split(**{name: read_split_part(folder, name) for name in SPLIT_PARTS})


def read_split_part(folder: Path, name: str) -> list[Record]:
    """One part; the other files are not opened. Raises ArtifactError as `read_split` does."""
    path = Path(folder) / f"{name}.jsonl"
    if not path.is_file():
        raise ArtifactError(f"{path} is missing: not a split. Build it with stage=data.")
    field_names = {field.name for field in fields(Record)}
    records = []
    # Divided as bytes: `str.splitlines` would also divide at a U+2028 or U+0085 in a question.
    for row, line in enumerate(path.read_bytes().removesuffix(b"\n").split(b"\n"), start=1):
        try:
            values = json.loads(line.decode("utf-8"))
        except ValueError as error:
            raise ArtifactError(f"{path} row {row} is not JSON in UTF-8: {error}.") from error
        if not isinstance(values, dict) or set(values) != field_names:
            raise ArtifactError(f"{path} row {row} is not a record with {sorted(field_names)}.")
        records.append(Record(**values))
    return records


def _check_unique_ids(records: Sequence[Record]) -> None:
    twice = [id for id, count in Counter(record.id for record in records).items() if count > 1]
    if twice:
        raise ConfigError(
            f"data.source gives the id {twice[0]!r} to more than one record "
            f"({len(twice)} such ids). Map a unique field to the id, or none."
        )
