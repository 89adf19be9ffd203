"""A scored item and a finished run: rows on disk, where training, evaluation and report meet.

No torch here: a report is rebuilt on a laptop.
"""

from dataclasses import dataclass

SCHEMA_VERSION = 1

MANY_EPOCHS = 10
"""Epochs above which a run is warned of: it would memorise its texts."""


HIGH_CUT_SHARE = 0.1
"""Share of a task's answers that were cut off above which its score is warned of."""

TIME, MEMORY, COUNT = "time", "memory", "count"
EFFICIENCY_KEYS = {
    "parameters": COUNT,
    "raw_parameters": COUNT,
    "tokens_per_second": TIME,
    "raw_tokens_per_second": TIME,
    "steps": COUNT,
    "train_s": TIME,
    "train_tokens_per_second": TIME,
    "peak_bytes": MEMORY,
    "converged_step": COUNT,
    "converged_s": TIME,
    "evaluate_s": TIME,
}
"""Numbers in `efficiency` of results.json; TIME and MEMORY depend on the machine."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One question with its worked answer, from whichever source."""

    id: str
    source: str
    task: str
    """The task family it trains for; splits are stratified by it."""
    question: str
    rationale: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Item:
    """One scored item of one task: the unit of every paired test. A row of items.parquet."""

    task: str
    item: str
    doc_hash: str
    prompt_hash: str
    correct: float
    """1.0 or 0.0; a probability mass for TruthfulQA MC2."""
    unparsed: bool = False
    truncated: bool = False
    empty: bool = False
    alternative: float | None = None
    """`correct` under the task's other extractor; None where an answer needs no extraction."""
    question: str | None = None
    """As asked, options included; it and the next two are None where the benchmark asks not to be
    shown (GPQA)."""
    target: str | None = None
    response: str | None = None
    """What the model wrote, or the choice it found likeliest."""


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """One task of results.json."""

    metric: str
    score: float
    """In [0, 1]."""
    n: int
    stderr: float | None
    chance: float
    """Score of guessing, in [0, 1); 0 for free-form answers."""
    unparsed: float
    """Share of items, as are the next two."""
    truncated: float
    empty: float
    marked: float | None = None
    """Share of generated answers with the mark that the task's prompts announce one by, as `####`;
    None where answers are not written, or no mark is shown."""
    by_subject: float | None = None
    """Unweighted mean over the task's subjects (subtasks), where `score` is one over items."""
    normalised: float | None = None
    """(score - chance) / (1 - chance) of each subject, not below 0, averaged over subjects."""
    alternative: float | None = None
    """`score` under the task's other extractor."""
    disagree: float | None = None
    """Share of items on which the two differ."""
    tainted: int | None = None
    """Items found in the training texts; None where that was not checked."""
    clean: float | None = None
    """`score` over the other items; None where there are none, or that was not checked."""
