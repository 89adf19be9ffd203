"""The user's own questions: a file of rows, as JSON lines, JSON, CSV or parquet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kvdistill.data.columns import ColumnMapping
from kvdistill.data.rows.markup import UNMISTAKABLE_RULES
from kvdistill.data.rows.row_files import read_row_file
from kvdistill.data.rows.tally import RowTally
from kvdistill.data.sources.base import Reading, Source
from kvdistill.errors import ArtifactError, ConfigError
from kvdistill.files import sha256
from kvdistill.records import Record


@dataclass(frozen=True, kw_only=True)
class Jsonl(Source):
    """Reads one file, each row through a column mapping."""

    path: str
    fields: Mapping[str, str | None]
    """Record field to column, or to a template of columns; see `ColumnMapping`."""
    task: str | None = None
    """The task of rows that have no task column."""
    pattern: str | None = None
    """A regex with groups `rationale` and `answer`, where one column holds both."""
    clean: Sequence[str] = UNMISTAKABLE_RULES
    """Rules that clean the texts; see `MARKUP_RULES`."""
    answers: str = "text"
    """`text`, or the `number` or `letter` that a worked answer comes to."""
    skip_incomplete: bool = False
    """Leave out rows that are no record; how many, and why, is printed and in the report."""
    sha256: str | None = None
    """Of the file, put here when the plan was made; an edit since then is refused."""

    def __post_init__(self) -> None:
        self.make_mapping()  # refuses an unusable mapping before any file is opened

    @property
    def stem(self) -> str:
        """The file's name without what says its format."""
        return Path(Path(self.path).name.removesuffix(".gz")).stem

    def make_mapping(self) -> ColumnMapping:
        """The column mapping. Raises ConfigError for one that can read no row."""
        return ColumnMapping(
            setting="data.source.fields",
            columns=self.fields,
            source=self.stem,
            task=self.task,
            pattern=self.pattern,
            clean=self.clean,
            answers=self.answers,
            skip_incomplete=self.skip_incomplete,
        )

    def records(self) -> list[Record]:
        """Every row, in file order; blank lines are skipped.

        Raises ConfigError naming file, row and field of the first row that is no record.
        """
        return self.read_records().records

    def read_records(self) -> Reading:
        """`records`, with the counts of the file's rows."""
        path, mapping, tally = Path(self.path), self.make_mapping(), RowTally()
        if self.sha256 is not None and path.is_file() and sha256(path) != self.sha256:
            raise ArtifactError(f"{path} changed since the run was planned. Repeat the command.")
        records = [
            record
            for each in read_row_file(path, "data.source.path")
            if (
                record := mapping.read_or_leave_out(
                    each.row, each.place, f"{self.stem}-{each.number}", tally
                )
            )
        ]
        if not records:
            fault = "is empty" if not tally.rows else f"has no record in {tally.rows} rows"
            raise ConfigError(f"data.source.path: {path} {fault}. Give a file with rows.")
        return Reading(records, {self.stem: tally})
