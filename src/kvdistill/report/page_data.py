"""Everything the page shows, before it becomes HTML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kvdistill.report.figures.style import RenderedFigure
from kvdistill.report.table import ReportTable
from kvdistill.stats.audit.summary import HistorySummary
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Study
from kvdistill.stats.verdicts import Verdict


@dataclass(frozen=True)
class Disagreement:
    """One item: the share of runs of each side that got it right, and one run's texts."""

    task: str
    item: str
    arm_right: float
    baseline_right: float
    texts: Mapping[str, str]
    """question, target, arm, baseline, where the runs kept them."""


@dataclass(frozen=True)
class Disagreements:
    """Items on which two arms differ."""

    arm: str
    baseline: str
    wins: int
    """Items that the arm got right in a larger share of its runs."""
    losses: int
    items: Sequence[Disagreement]
    """Some of both, in the order of the tasks."""


@dataclass(frozen=True)
class LeakVerdict:
    """What one study's check came to: never `clean` where an item is marked or was not checked."""

    study: str
    word: str
    """`clean`, `tainted`, `unchecked`, or the report's own word for data that leaks."""
    sentences: Sequence[str]


@dataclass(frozen=True)
class Provenance:
    """How to reproduce the report, and from which code and machines its records came."""

    commands: list[str]
    facts: list[tuple[str, str]]
    """(name, value) that all runs share, or every value that occurs."""
    runs: ReportTable


class BudgetParity(NamedTuple):
    """Whether all trained arms had the same budget."""

    equal: bool | None
    """None where nothing can be compared."""
    text: str


@dataclass(frozen=True)
class QuestionTexts:
    """What a question's section says in words."""

    headline: str
    """The primary arm's difference from the baseline."""
    sentences: Sequence[str]
    """The same of other arms."""
    reversals: Sequence[str]
    """Where likelihood and written answers rank arms differently, a sentence a pair of tasks."""
    lines: Sequence[tuple[str, list[str]]]
    """(arm, its significance lines: one an endpoint)."""


@dataclass(frozen=True)
class QuestionTables:
    """A question's tables."""

    scores: ReportTable
    differences: ReportTable
    task_differences: ReportTable
    answer_forms: ReportTable
    """Likelihood beside written answers; without rows where no benchmark has both."""
    extraction: ReportTable
    views: ReportTable
    """Equal steps, FLOPs and time, as far as there are runs."""


@dataclass(frozen=True)
class QuestionFigures:
    """A question's figures."""

    scores: Sequence[RenderedFigure]
    """Forest plots, bars and radar."""
    ablation: Sequence[RenderedFigure]
    """What the question is about, where it is an ablation."""
    routing: Sequence[tuple[RenderedFigure, ReportTable]]
    """Of each arm with a router: weights by task and teacher, and by layer."""
    omitted: int
    """Arms that the charts leave out."""


@dataclass(frozen=True)
class QuestionSection:
    """One question's part of the page."""

    name: str
    text: str
    baseline: str
    texts: QuestionTexts
    tables: QuestionTables
    figures: QuestionFigures
    disagreements: Disagreements | None = None


@dataclass(frozen=True)
class TuningSection:
    """How one question's arms were tuned."""

    name: str
    """Of the question."""
    sentences: Sequence[str]
    winners: ReportTable
    trials: ReportTable
    figure: RenderedFigure
    """Best-so-far by trial."""


@dataclass(frozen=True)
class PageContent:
    """Everything the page shows."""

    study: Study
    settings: Settings
    done: int
    planned: int
    missing: Sequence[str]
    withdrawn: ReportTable
    verdicts: Sequence[Verdict]
    levels: Mapping[str, str]
    questions: Sequence[QuestionSection]
    tunings: Sequence[TuningSection]
    """Of the questions whose arms were tuned, in their order."""
    matrix: ReportTable
    weightings: ReportTable
    above_chance: ReportTable
    generalisation: ReportTable
    training: Sequence[RenderedFigure]
    training_table: ReportTable
    agreement: ReportTable
    """Without rows where no arm matched K and V."""
    efficiency: ReportTable
    speed: ReportTable
    """Without rows where no run's training was measured."""
    speed_sentence: str
    """The same in a sentence; empty without rows."""
    budget: ReportTable
    parity: BudgetParity
    undeclared: Sequence[str]
    """Comparisons that are refused as more differs than a sweep declares, a sentence each."""
    leakage: ReportTable
    leak_verdicts: Sequence[LeakVerdict]
    audit: ReportTable
    cut_off: Sequence[str]
    """Arms and tasks many of whose answers were cut off, a sentence each."""
    counterparts: ReportTable
    """Without rows where no model was asked lm-eval's own tasks."""
    provenance: Provenance
    history: HistorySummary
    selftest: Mapping[str, Any] | None
    lines: Sequence[str]
    """significance.txt."""

    def repeats_matrix(self, question: QuestionSection) -> bool:
        """Whether a question's scores are those of the matrix: the page shows them once."""
        return list(question.tables.scores.rows) == list(self.matrix.rows)

    def iter_figures(self) -> Iterator[RenderedFigure]:
        """Every figure of the page."""
        for question in self.questions:
            yield from question.figures.scores
            yield from question.figures.ablation
            yield from (figure for figure, _ in question.figures.routing)
        yield from (tuning.figure for tuning in self.tunings)
        yield from self.training

    def iter_tables(self) -> Iterator[ReportTable]:
        """Every table that is also a file, those behind the figures among them."""
        yield from (self.matrix, self.weightings, self.above_chance, self.generalisation)
        yield from (figure.data for figure in self.iter_figures() if figure.data is not None)
        for question in self.questions:
            tables = question.tables
            yield from (tables.scores, tables.differences, tables.task_differences)
            if tables.answer_forms.rows:
                yield tables.answer_forms
            yield from (tables.extraction, tables.views)
            yield from (table for _, table in question.figures.routing)
        for tuning in self.tunings:
            yield from (tuning.winners, tuning.trials)
        yield self.withdrawn
        yield from (self.efficiency, self.budget, self.leakage, self.audit, self.training_table)
        if self.agreement.rows:
            yield self.agreement
        if self.speed.rows:
            yield self.speed
        if self.counterparts.rows:
            yield self.counterparts
        yield self.provenance.runs
