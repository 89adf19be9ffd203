"""Seven generated task families that stand for the seven benchmarks in kind.

They make the default run need no download: GSM8K, MATH500, BBH, GPQA, TruthfulQA, CMMLU and
C-Eval become word problems, equations, orders, kinds, misbeliefs and two Chinese families.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from kvdistill.data.normalise import squashed
from kvdistill.data.sources import nano_chinese, nano_english
from kvdistill.data.sources.base import Source
from kvdistill.data.sources.nano_draft import Draft
from kvdistill.errors import ConfigError
from kvdistill.records import Record

FAMILIES: dict[str, Callable[[Random], Draft]] = {
    "nano_arithmetic": nano_english.arithmetic,
    "nano_algebra": nano_english.algebra,
    "nano_logic": nano_english.logic,
    "nano_choice": nano_english.hard_choice,
    "nano_truth": nano_english.truth,
    "nano_chinese": nano_chinese.kinds,
    "nano_exam": nano_chinese.exam,
}

MOST_ROWS = 100_000
"""Of a family: none can make as many different questions."""


@dataclass(frozen=True, kw_only=True)
class Nano(Source):
    """The same records on every machine: text seeds and integer draws only."""

    rows: int
    """Records a family."""
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= MOST_ROWS:
            raise ConfigError(f"data.source.rows must be from 1 to {MOST_ROWS}, got {self.rows}.")

    def records(self) -> list[Record]:
        """`rows` records of each family, family after family, no question twice."""
        return [record for task in FAMILIES for record in self.family(task)]

    def family(self, task: str) -> list[Record]:
        """Raises ConfigError when the family has fewer distinct questions than rows."""
        rng = Random(f"{self.seed}:{task}")
        drafts: dict[str, Draft] = {}
        for _ in range(20 * self.rows):
            draft = FAMILIES[task](rng)
            drafts.setdefault(squashed(draft.question), draft)
            if len(drafts) == self.rows:
                break
        else:
            raise ConfigError(
                f"data.source.rows={self.rows} is more than {task} can make without repeating "
                f"itself (it stopped at {len(drafts)}). Ask for fewer."
            )
        return [
            Record(
                id=f"{task}-{number:05d}", source="nano", task=task,
                question=draft.question, rationale=draft.rationale, answer=draft.answer,
            )
            for number, draft in enumerate(drafts.values())
        ]  # fmt: skip
