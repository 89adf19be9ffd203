"""What became of a source's rows: how many were left out and why, and which rules changed texts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RowTally:
    """Counts of rows while a source is read."""

    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """By reason."""
    cleaned: Counter[str] = field(default_factory=Counter)
    """Rows that a rule changed, by rule."""
    uncleaned: Counter[str] = field(default_factory=Counter)
    """Rows that a rule would change which the source does not name."""
    answers: Counter[str] = field(default_factory=Counter)
    """Rows whose answer was read from a longer text, or has a form that is seldom matched."""

    def to_report(self) -> dict[str, Any]:
        """As JSON, for the report of a split."""
        return {
            "rows": self.rows,
            "left_out": dict(sorted(self.left_out.items())),
            "left_out_share": self.left_out.total() / self.rows if self.rows else 0.0,
            "cleaned": dict(sorted(self.cleaned.items())),
            "uncleaned": dict(sorted(self.uncleaned.items())),
            "answers": dict(sorted(self.answers.items())),
        }


def describe_tally(name: str, report: Mapping[str, Any]) -> str:
    """One line of what `RowTally.to_report` gives."""
    out, rows = sum(report["left_out"].values()), report["rows"]
    line = f"{name}: left out {out} of {rows} rows ({report['left_out_share']:.1%})"
    notes = {
        "": report["left_out"],
        "cleaned by ": report["cleaned"],
        "answers read: ": report["answers"],
        "would be changed by rules that `clean` does not name: ": report["uncleaned"],
    }
    texts = [f"{about}{list_counts(counts)}" for about, counts in notes.items() if counts]
    return "; ".join([line, *texts])


def list_counts(counts: Mapping[str, int]) -> str:
    """`name count`, one after another."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())
