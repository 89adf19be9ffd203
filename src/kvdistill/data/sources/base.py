"""Interface of a source of records: generated questions, a file, or public datasets."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from kvdistill.records import Record


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """Gives the same records, in the same order, every time."""

    @abstractmethod
    def records(self) -> list[Record]:
        """Every record, each with a unique id."""
