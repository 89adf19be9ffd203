r"""Column mapping: from a row of any dataset to a record with question, rationale and answer.

A field is mapped to a column by its name, or to several by a template ("{Question}\nA. {A}"); a
column may hold a conversation. Texts are cleaned of their publisher's markup by named rules, and
answers are read by their kind.
Shared by every source that reads rows; errors name the file, the row and the field.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvdistill.data.rows import markup
from kvdistill.data.rows.cells import parse_template, read_field
from kvdistill.data.rows.final_answer import check_answer_kind, read_final_answer
from kvdistill.data.rows.tally import RowTally
from kvdistill.errors import ConfigError, RowError
from kvdistill.records import Record

REQUIRED_FIELDS = ("question", "answer")
MAPPABLE_FIELDS = ("id", "task", "question", "rationale", "answer")


@dataclass(frozen=True, kw_only=True)
class ColumnMapping:
    """Makes records of the rows of one source; refuses an unusable mapping when it is made."""

    setting: str
    """The config path of the mapping, for errors."""
    columns: Mapping[str, str | None]
    """By record field, a column or a template; question and answer at least."""
    source: str
    task: str | None
    """The task of rows whose mapping names no task column."""
    pattern: str | None = None
    r"""A regex searched in the answer, whose groups `answer` and, if there, `rationale` replace the
    fields of that name; the last match counts.
    GSM8K: `(?s)(?P<rationale>.*)####\s*(?P<answer>.*)`."""
    clean: Sequence[str] = markup.UNMISTAKABLE_RULES
    """Rules of `MARKUP_RULES`, applied to the texts in this order."""
    answers: str = "text"
    """What an answer is: a `text` as it stands, the `number` or the `letter` that it comes to."""
    skip_incomplete: bool = False
    """Leave out rows that are no record, and count them by what they lack."""

    def __post_init__(self) -> None:
        missing = [field for field in REQUIRED_FIELDS if not self.columns.get(field)]
        unknown = sorted(set(self.columns) - set(MAPPABLE_FIELDS))
        if missing or unknown:
            fault = f"has no {missing[0]}" if missing else f"names {unknown[0]!r}"
            raise ConfigError(
                f"{self.setting} {fault}; it maps question and answer, and may map rationale, "
                "task and id, to columns."
            )
        if self.task is None and not self.columns.get("task"):
            raise ConfigError(
                f"{self.setting} has no task column. Map one, or name one task for all rows."
            )
        for field, column in self.columns.items():
            if column and "{" in column:
                parse_template(column, f"{self.setting}.{field}")
        if self.pattern is not None and "answer" not in _compile_pattern(
            self.pattern, self.setting
        ):
            raise ConfigError(f"{self.setting}: pattern {self.pattern!r} has no group `answer`.")
        beside = self.setting.rpartition(".")[0]
        markup.check_rule_names(self.clean, f"{beside}.clean")
        check_answer_kind(self.answers, f"{beside}.answers")

    def __call__(
        self, row: Mapping[str, Any], place: str, default_id: str, tally: RowTally | None = None
    ) -> Record:
        """One row as a record, counted in `tally`.

        Raises RowError naming `place` (file and row) and the field, with a reason to count it by.
        """
        tally = RowTally() if tally is None else tally
        values = {
            field: read_field(row, column, place, field)
            for field, column in self.columns.items()
            if column
        }
        # Before the check for empty fields, as the pattern may provide the rationale.
        if self.pattern is not None:
            values |= self._match_pattern(values["answer"], place)
        values, changed, others = markup.clean_fields(values, self.clean)
        self._check_texts(values, place)
        values["answer"], reading = read_final_answer(
            self.answers, values["question"], values["answer"], place
        )
        tally.cleaned.update(changed)
        tally.uncleaned.update(others)
        tally.answers.update([reading] if reading else [])
        tally.answers.update(["of several lines"] if "\n" in values["answer"].strip() else [])
        return Record(
            id=values.get("id", default_id),
            source=self.source,
            task=values.get("task", self.task or ""),
            question=values["question"].strip(),
            rationale=values.get("rationale", "").strip(),
            answer=values["answer"].strip(),
        )

    def read_or_leave_out(
        self, row: Mapping[str, Any], place: str, default_id: str, tally: RowTally
    ) -> Record | None:
        """The row as a record, counted; None for one that is none and is left out.

        Raises RowError as a call does, unless such rows are left out.
        """
        tally.rows += 1
        try:
            return self(row, place, default_id, tally)
        except RowError as error:
            if not self.skip_incomplete:
                raise
            tally.left_out[error.reason] += 1
            return None

    def _check_texts(self, values: Mapping[str, str], place: str) -> None:
        """Raises RowError for an empty field, and for other speakers where roles are stripped."""
        for field, value in values.items():
            # Optional fields too: a field that is mapped must be there, or the mapping is wrong.
            if not value.strip():
                raise RowError(
                    f"no {field}",
                    f"{place}, field {field}: empty. Fill it in, remove the row, or map no "
                    f"{field}.",
                )
            if "role_labels" in self.clean and markup.has_several_turns(value):
                raise RowError(
                    "several turns",
                    f"{place}, field {field}: it holds turns of several speakers. Keep one "
                    "question and its answer, or remove the row.",
                )

    def _match_pattern(self, answer: str, place: str) -> dict[str, str]:
        assert self.pattern is not None
        matches = list(re.finditer(self.pattern, answer))
        if not matches:
            raise RowError(
                "no match",
                f"{place}, field answer: nothing in it matches pattern {self.pattern!r}. "
                f"Change the pattern of {self.setting} or the row.",
            )
        return {name: text or "" for name, text in matches[-1].groupdict().items()}


def _compile_pattern(pattern: str, setting: str) -> Mapping[str, int]:
    """The groups of the regex, by name. Raises ConfigError for text that is none."""
    try:
        return re.compile(pattern).groupindex
    except re.error as error:
        raise ConfigError(f"{setting}: pattern {pattern!r} is no regex: {error}.") from error
