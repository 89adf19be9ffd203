"""Interface of a source of records: generated questions, a file, or public datasets."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from kvdistill.data.rows.tally import RowTally
from kvdistill.records import Record


@dataclass(frozen=True)
class Reading:
    """The records of a source, and by file or part what became of its rows."""

    records: list[Record]
    tallies: Mapping[str, RowTally] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """Gives the same records, in the same order, every time."""

    @abstractmethod
    def records(self) -> list[Record]:
        """Every record, each with a unique id."""

    def read_records(self) -> Reading:
        """`records`, with counts of the rows that they were made of where rows were read."""
        return Reading(self.records())
