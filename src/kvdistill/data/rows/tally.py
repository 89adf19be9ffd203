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
    rows, out = report["rows"], sum(report["left_out"].values())
    texts = [f"{name}: {rows} rows, {out} left out ({report['left_out_share']:.1%})"]
    texts += [f"{reason} {count}" for reason, count in report["left_out"].items()]
    if report["cleaned"]:
        texts.append(f"cleaned by {list_counts(report['cleaned'])}")
    if report["answers"]:
        texts.append(f"answers: {list_counts(report['answers'])}")
    if report["uncleaned"]:
        texts.append(f"not cleaned (name them in `clean`): {list_counts(report['uncleaned'])}")
    return "; ".join(texts)


def list_counts(counts: Mapping[str, int]) -> str:
    """`name count`, one after another."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())
