"""Where questions come from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from kvdistill.records import Record


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """Yields records; the same ones, in the same order, every time."""

    @abstractmethod
    def records(self) -> list[Record]:
        """Every record, each with a unique id."""
