"""Which versions of the code a study's user takes for one: `code=accept`, kept in plan.json."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AcceptedCode:
    """What was accepted, command by command."""

    entries: Sequence[Mapping[str, Any]] = ()
    """Each with `versions` (module, task file or artefact -> its digests), `runs` and `time`."""

    def covers(self, changes: Mapping[str, Set[str]]) -> bool:
        """Whether each of these was accepted in all the versions that it has here."""
        return all(
            versions <= self.list_equals(name, versions) for name, versions in changes.items()
        )

    def list_equals(self, name: str, versions: Iterable[str]) -> set[str]:
        """Every version that was accepted, in one step or several, as equal to one of these."""
        equal = {min(versions)}
        groups = [set(entry["versions"].get(name, ())) for entry in self.entries]
        # As often as there are groups: each may join two that have come before it.
        for _ in groups:
            for group in groups:
                if group & equal:
                    equal |= group
        return equal
