"""Everything the page shows, before it becomes HTML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kvdistill.report.figures.style import RenderedFigure
from kvdistill.report.sections.disagreements import Disagreements
from kvdistill.report.sections.provenance import Provenance
from kvdistill.report.table import ReportTable
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Study
from kvdistill.stats.verdicts import Verdict


@dataclass
class QuestionSection:
    """One question's part of the page."""

    name: str
    text: str
    baseline: str
    headline: str
    sentences: list[str]
    lines: list[tuple[str, list[str]]]
    """(arm, its A4 lines)."""
    scores: ReportTable
    differences: ReportTable
    task_differences: ReportTable
    extraction: ReportTable
    figures: list[RenderedFigure] = field(default_factory=list)
    ablation: list[RenderedFigure] = field(default_factory=list)
    routing: list[tuple[RenderedFigure, ReportTable]] = field(default_factory=list)
    disagreements: Disagreements | None = None
    omitted: int = 0
    """Arms that the charts leave out."""


@dataclass
class PageContent:
    """Everything the page shows."""

    study: Study
    settings: Settings
    done: int
    planned: int
    missing: list[str]
    verdicts: Sequence[Verdict]
    levels: Mapping[str, str]
    questions: list[QuestionSection]
    matrix: ReportTable
    weightings: ReportTable
    above_chance: ReportTable
    generalisation: ReportTable
    training: list[RenderedFigure]
    training_table: ReportTable
    efficiency: ReportTable
    budget: ReportTable
    parity: tuple[bool | None, str]
    leakage: ReportTable
    audit: ReportTable
    provenance: Provenance
    selftest: Mapping[str, Any] | None
    lines: list[str]

    def iter_figures(self) -> Iterator[RenderedFigure]:
        """Every figure of the page."""
        for question in self.questions:
            yield from question.figures
            yield from question.ablation
            yield from (figure for figure, _ in question.routing)
        yield from self.training

    def iter_tables(self) -> Iterator[ReportTable]:
        """Every table that is also a file, those behind the figures among them."""
        yield from (self.matrix, self.weightings, self.above_chance, self.generalisation)
        yield from (figure.data for figure in self.iter_figures() if figure.data is not None)
        for question in self.questions:
            yield from (question.scores, question.differences, question.task_differences)
            yield question.extraction
            yield from (grid for _, grid in question.routing)
        yield from (self.efficiency, self.budget, self.leakage, self.audit, self.training_table)
        yield self.provenance.runs
