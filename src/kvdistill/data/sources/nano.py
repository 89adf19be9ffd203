"""Seven generated task families, like the seven benchmarks in kind, so that no download is needed.

In place of GSM8K, MATH500, BBH, GPQA, TruthfulQA, CMMLU and C-Eval: word problems, equations,
orderings, kinds of things, misbeliefs, and two Chinese families.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

from kvdistill.data.sources import nano_chinese, nano_english
from kvdistill.data.sources.base import Source
from kvdistill.data.sources.nano_draft import Draft, DraftFilter
from kvdistill.errors import ConfigError
from kvdistill.records import Record

FAMILIES: dict[str, Callable[[Random], Draft]] = {
    "nano_arithmetic": nano_english.make_arithmetic_question,
    "nano_algebra": nano_english.make_algebra_question,
    "nano_logic": nano_english.make_logic_question,
    "nano_choice": nano_english.make_english_kind_question,
    "nano_truth": nano_english.make_misbelief_question,
    "nano_chinese": nano_chinese.make_chinese_kind_question,
    "nano_exam": nano_chinese.make_exam_question,
}

MAX_ROWS = 100_000
"""Of a family; none has as many different questions."""
MAX_FAILURES = 1000
"""Drafts refused in a row, before a family is taken to have no more."""


@dataclass(frozen=True, kw_only=True)
class Nano(Source):
    """Generates records, the same on every machine."""

    rows: int
    """Records a family."""
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= MAX_ROWS:
            raise ConfigError(f"data.source.rows must be from 1 to {MAX_ROWS}, got {self.rows}.")

    def records(self) -> list[Record]:
        """`rows` records of each family, family after family, no question twice."""
        return [record for task in FAMILIES for record in self.generate_family(task)]

    def generate_family(self, task: str) -> list[Record]:
        """`rows` records of one family. Raises ConfigError where it has fewer questions."""
        return list(generate_records(task, self.rows, self.seed))


@cache
def generate_records(task: str, rows: int, seed: int) -> tuple[Record, ...]:
    """The same, made once a process: a plan counts them for each of its arms."""
    # A text as seed is hashed alike everywhere; the families draw integers and choices only, as
    # floats could round otherwise on another machine.
    rng = Random(f"{seed}:{task}")
    drafts: list[Draft] = []
    draft_filter, failures = DraftFilter(), 0
    while len(drafts) < rows:
        draft = FAMILIES[task](rng)
        if draft_filter.admit(draft.question):
            drafts.append(draft)
            failures = 0
            continue
        failures += 1
        if failures == MAX_FAILURES:
            raise ConfigError(
                f"data.source.rows={rows} is more than {task} can make without near copies of its "
                f"own questions (it stopped at {len(drafts)}). Ask for fewer."
            )
    return tuple(
        Record(
            id=f"{task}-{number:05d}", source="nano", task=task,
            question=draft.question, rationale=draft.rationale, answer=draft.answer,
        )
        for number, draft in enumerate(drafts)
    )  # fmt: skip
