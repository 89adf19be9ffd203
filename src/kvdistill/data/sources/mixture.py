"""A weighted mixture of public question sets, read from their files on the hub or from copies.

Each part names its dataset, columns, weight and licence in YAML; a folder of local copies can
stand in for the hub. Which rows are taken depends on the questions alone, so that a part that
grows moves no other.
"""

import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import datasets

from kvdistill.config import types
from kvdistill.data.columns import ColumnMapping
from kvdistill.data.contamination.normalise import compute_group_id
from kvdistill.data.hub_files import HubDataError, HubSplit, read_hub_split
from kvdistill.data.rows.duplicates import normalise_answer
from kvdistill.data.rows.markup import UNMISTAKABLE_RULES
from kvdistill.data.rows.tally import RowTally, describe_tally
from kvdistill.data.sources.base import Reading, Source
from kvdistill.errors import ArtifactError, ConfigError, UserError
from kvdistill.files import sha256
from kvdistill.records import Record

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MixturePart:
    """One dataset of the mixture."""

    hub: str
    """The dataset's id on the hub; below `root` the part's own name is used instead."""
    split: str
    columns: Mapping[str, str | None]
    """Record field to column or template; see `ColumnMapping`."""
    task: str
    weight: float
    licence: str
    """As its publisher states it; the user answers for keeping to it."""
    config: str | None = None
    revision: str | None = None
    """A commit: a branch becomes one when the plan is made."""
    files: Sequence[str] = ()
    """Where its rows lie on the hub, where neither its card nor its layout says so: a pattern of
    paths, or `ARCHIVE.zip!PATTERN`; {config} and {split} stand for the part's own."""
    pattern: str | None = None
    clean: Sequence[str] = UNMISTAKABLE_RULES
    """Rules that clean its texts; see `MARKUP_RULES`."""
    answers: str = "text"
    """`text`, or the `number` or `letter` that its worked answers come to."""
    skip_incomplete: bool = False
    """Leave out rows that are no record; log and report say how many, and why."""


@dataclass(frozen=True, kw_only=True)
class Mixture(Source):
    """Draws `rows` distinct questions, each part its share by weight."""

    parts: Mapping[str, Mapping[str, Any]]
    """By name; the keys of each are the fields of `MixturePart`."""
    rows: int
    root: str | None = None
    """A folder that holds a copy of each part, named after it; null reads the hub."""
    sha256: str | None = None
    """Of that folder, put here when the plan was made; an edit since then is refused."""

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ConfigError(f"data.source.rows must be at least 1, got {self.rows}.")
        if not self.parts:
            raise ConfigError("data.source.parts is empty. Name at least one dataset.")
        for name, spec in self.parts.items():
            _make_mapping(name, _parse_part(name, spec))

    def records(self) -> list[Record]:
        """Every part's rows, part after part, in the dataset's order.

        A question that comes with several answers comes with each, so that what is built of the
        records can tell. Raises ConfigError for a part that cannot be read or has too few rows, and
        for a row that is no record, naming part, row and field.
        """
        return self.read_records().records

    def read_records(self) -> Reading:
        """`records`, with the counts of each part's rows."""
        if self.root is not None and self.sha256 not in (None, sha256(Path(self.root))):
            raise ArtifactError(
                f"{self.root} changed since the run was planned. Repeat the command."
            )
        parts = {name: _parse_part(name, spec) for name, spec in self.parts.items()}
        total = sum(part.weight for part in parts.values())
        taken: list[Record] = []
        tallies = {name: RowTally() for name in parts}
        for name, part in parts.items():
            # Each share is rounded by itself: together they may be a row or two off `rows`.
            count = round(self.rows * part.weight / total)
            taken += self._choose_records(name, part, count, tallies[name])
        return Reading(taken, tallies)

    def read_part(self, name: str) -> list[Record]:
        """All records of one part, before any is drawn. Raises as `records` does."""
        return self._read_records(name, _parse_part(name, self.parts[name]), RowTally())

    def _choose_records(
        self, name: str, part: MixturePart, count: int, tally: RowTally
    ) -> list[Record]:
        """`count` distinct questions of a part, each with its answers, in the dataset's order."""
        distinct: dict[tuple[str, str], Record] = {}
        for record in self._read_records(name, part, tally):
            key = compute_group_id(record.question), normalise_answer(record.answer)
            distinct.setdefault(key, record)
        groups = sorted({group for group, _ in distinct})
        if len(groups) < count:
            raise ConfigError(
                f"data.source.parts.{name} has {len(groups)} distinct questions, and its "
                f"weight {part.weight} asks for {count} of data.source.rows={self.rows}. "
                "Lower its weight or data.source.rows."
            )
        # The first by group id, which is a hash: a fair draw that new rows hardly change.
        chosen = set(groups[:count])
        return [record for (group, _), record in distinct.items() if group in chosen]

    def _read_records(self, name: str, part: MixturePart, tally: RowTally) -> list[Record]:
        mapping = _make_mapping(name, part)
        place = f"data.source.parts.{name}: {self._locate_dataset(name, part)}"
        rows = self._load_rows(name, part)
        row_records = [
            mapping.read_or_leave_out(row, f"{place} row {number}", f"{name}-{number}", tally)
            for number, row in enumerate(rows, start=1)
        ]
        if tally.left_out:
            log.warning("%s", describe_tally(f"data.source.parts.{name}", tally.to_report()))
        return [record for record in row_records if record is not None]

    def _locate_dataset(self, name: str, part: MixturePart) -> str:
        return part.hub if self.root is None else str(Path(self.root) / name)

    def _load_rows(self, name: str, part: MixturePart) -> list[dict[str, Any]]:
        """All rows of a part. Raises ConfigError for none, and where they cannot be read."""
        place = self._locate_dataset(name, part)
        if self.root is None:
            rows = _read_hub_part(name, part)
            check_part_has_rows(name, part, place, rows)
            return rows
        # `datasets` names its cache of a local folder after the folder, not its content: another
        # folder of that name, or an edited file, would silently give the rows of the first.
        with tempfile.TemporaryDirectory() as cache_dir:
            try:
                rows = self._load_dataset(place, part, cache_dir)
            except UserError:
                raise
            except Exception as error:  # readers of broken files raise anything
                raise ConfigError(
                    f"data.source.parts.{name}: {place} cannot be read: "
                    f"{_format_root_cause(error)}. Fetch it first, or set data.root to a "
                    "folder with local copies."
                ) from error
        check_part_has_rows(name, part, place, rows)
        return rows

    def _load_dataset(self, place: str, part: MixturePart, cache_dir: str) -> list[dict[str, Any]]:
        """The rows of a local copy; raises whatever the readers raise of files that are broken."""
        builder = datasets.load_dataset_builder(place, part.config, cache_dir=cache_dir)
        outside = _find_outside_file(Path(place), builder.config.data_files)
        if outside is not None:
            raise ConfigError(
                f"data.root: {place} asks for {outside}, which lies outside of it, so that its "
                "content is no part of the run's identity. Copy it into the folder."
            )
        builder.download_and_prepare()
        # A list, not the dataset: its rows are mapped from files that are deleted with cache_dir.
        rows: list[dict[str, Any]] = builder.as_dataset(split=part.split).to_list()
        return rows


def check_part_has_rows(
    name: str, part: MixturePart, place: str, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Raises ConfigError for a part without rows."""
    if not rows:
        raise ConfigError(
            f"data.source.parts.{name}: split {part.split!r} of {place} has no rows. "
            "Choose another split."
        )


def _read_hub_part(name: str, part: MixturePart) -> list[dict[str, Any]]:
    """The rows of a part on the hub. Raises ConfigError with the causes and what helps."""
    source = HubSplit(
        repo=part.hub, config=part.config, split=part.split, revision=part.revision or "main",
        files=part.files,
    )  # fmt: skip
    try:
        return read_hub_split(source)
    except HubDataError as error:
        remedy = error.remedy.replace("`files`", f"data.source.parts.{name}.files")
        remedy = remedy.replace("a local copy in its place", f"a copy in data.root/{name}")
        raise ConfigError(f"data.source.parts.{name}: {error.what}. {remedy}.") from error


def _find_outside_file(folder: Path, files: Any) -> str | None:
    """The first file of a copy that is not below its folder: its README.md may name any."""
    # abspath, not resolve, of the file: a copy may hold links to its files elsewhere.
    for file in (name for each in (files or {}).values() for name in each):
        if not Path(os.path.abspath(file)).is_relative_to(folder.resolve()):  # noqa: PTH100
            return str(file)
    return None


def _format_root_cause(error: BaseException) -> str:
    """The first of a chain of exceptions, as one line: `datasets` wraps those of its readers."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, StopIteration):  # the reader's own iteration has ended
        return "a file of it is empty"
    return types.shorten(" ".join(str(error).split()).rstrip(".") or type(error).__name__)


def _make_mapping(name: str, part: MixturePart) -> ColumnMapping:
    return ColumnMapping(
        setting=f"data.source.parts.{name}.columns",
        columns=part.columns,
        source=name,
        task=part.task,
        pattern=part.pattern,
        clean=part.clean,
        answers=part.answers,
        skip_incomplete=part.skip_incomplete,
    )


def _parse_part(name: str, spec: Mapping[str, Any]) -> MixturePart:
    """The part of a node of YAML. Raises ConfigError naming its unknown, missing or bad key."""
    # Checked here, since the TypeError of MixturePart(**spec) would name no setting.
    known = {field.name: field.default is MISSING for field in fields(MixturePart)}
    unknown = sorted(spec.keys() - known.keys())
    missing = sorted(name for name, needed in known.items() if needed and name not in spec)
    if unknown or missing:
        fault = f"{unknown[0]} is not known" if unknown else f"{missing[0]} is missing"
        raise ConfigError(
            f"data.source.parts.{name}.{fault}; a part needs "
            f"{sorted(field for field, needed in known.items() if needed)} and may have "
            f"{sorted(field for field, needed in known.items() if not needed)}."
        )
    types.check_arguments(f"data.source.parts.{name}", spec, MixturePart)
    part = MixturePart(**spec)
    if part.weight <= 0:
        raise ConfigError(
            f"data.source.parts.{name}.weight must be above 0, got {part.weight}. "
            "Remove the part instead."
        )
    return part
