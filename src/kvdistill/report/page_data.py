"""Everything the page shows, before it becomes HTML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kvdistill.report.figures.style import Drawn
from kvdistill.report.sections.disagreements import Browser
from kvdistill.report.sections.provenance import Provenance
from kvdistill.report.table import Grid
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
    scores: Grid
    differences: Grid
    cells: Grid
    extraction: Grid
    figures: list[Drawn] = field(default_factory=list)
    ablation: list[Drawn] = field(default_factory=list)
    routing: list[tuple[Drawn, Grid]] = field(default_factory=list)
    browser: Browser | None = None
    omitted: int = 0
    """Arms that the charts leave out."""


@dataclass
class Content:
    """Everything the page shows."""

    study: Study
    settings: Settings
    done: int
    planned: int
    missing: list[str]
    verdicts: Sequence[Verdict]
    levels: Mapping[str, str]
    questions: list[QuestionSection]
    matrix: Grid
    weightings: Grid
    above_chance: Grid
    generalisation: Grid
    training: list[Drawn]
    training_grid: Grid
    efficiency: Grid
    budget: Grid
    parity: tuple[bool | None, str]
    leakage: Grid
    audit: Grid
    provenance: Provenance
    selftest: Mapping[str, Any] | None
    lines: list[str]

    def figures(self) -> Iterator[Drawn]:
        """Every figure of the page."""
        for question in self.questions:
            yield from question.figures
            yield from question.ablation
            yield from (drawn for drawn, _ in question.routing)
        yield from self.training

    def grids(self) -> Iterator[Grid]:
        """Every table that is also a file, those behind the figures among them."""
        yield from (self.matrix, self.weightings, self.above_chance, self.generalisation)
        yield from (drawn.data for drawn in self.figures() if drawn.data is not None)
        for question in self.questions:
            yield from (question.scores, question.differences, question.cells)
            yield question.extraction
            yield from (grid for _, grid in question.routing)
        yield from (self.efficiency, self.budget, self.leakage, self.audit, self.training_grid)
        yield self.provenance.runs
