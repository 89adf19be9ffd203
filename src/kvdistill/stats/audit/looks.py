"""Which look at a question this is, by the root's record, and at which level it is judged."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kvdistill.stats.audit.boundaries import compute_look_levels
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import QuestionRecords, Study

FEWEST_SEEDS = 2
"""With fewer no test over seeds is made, so nothing is spent."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """The present look at a question."""

    number: int
    """From 1; looks at the same seeds count once. 0 while no arm is complete."""
    planned: int
    """stats.looks."""
    seeds: tuple[int, ...]
    """How many each look so far had, this one last."""
    level: float
    """Two-sided, of this look alone."""

    def describe(self) -> str:
        """The look and its level; empty of a study that plans one look and takes it."""
        if self.planned == 1:
            return ""
        if self.number == 0:
            return f"{self.planned} looks are planned, none is taken yet"
        if self.number > self.planned:
            return f"look {self.number} of {self.planned} planned: nothing was left to spend on it"
        return f"look {self.number} of {self.planned}, judged at {100 * self.level:.2f} %"


def number_look(study: Study, question: QuestionRecords, settings: Settings) -> Look:
    """The present look at a question: after those that the record has, unless it has this one."""
    counts: list[int] = []
    for seeds in [*list_judged_seeds(study, question), list_complete_seeds(question)]:
        # A look at no more seeds than before has nothing new to test.
        if len(seeds) >= FEWEST_SEEDS and len(seeds) > max(counts, default=0):
            counts.append(len(seeds))
    level = settings.alpha
    if counts and settings.looks > 1:
        levels = compute_look_levels(settings.looks, counts, settings.alpha, settings.spending)
        level = levels[min(len(counts), settings.looks) - 1]
    return Look(number=len(counts), planned=settings.looks, seeds=tuple(counts), level=level)


def adjust_for_look(settings: Settings, study: Study, question: QuestionRecords | None) -> Settings:
    """The settings with the confidence of the present look in place of that of all together.

    A claim of no question is judged at the strictest level of any.
    """
    questions = [question] if question else list(study.questions.values())
    if settings.looks == 1 or not questions:
        return settings
    level = min(number_look(study, each, settings).level for each in questions)
    return replace(settings, confidence=1 - level)


def list_judged_seeds(study: Study, question: QuestionRecords) -> Iterator[list[int]]:
    """The seeds that each recorded look at the question could compare, in order."""
    for folder in study.folders:
        name = question.name.removeprefix(f"{folder.name}: ")
        for event in study.history.select(folder.name, "looked"):
            if name in event.facts.get("judged", {}):
                yield event.facts["judged"][name]


def list_complete_seeds(question: QuestionRecords) -> list[int]:
    """The seeds of the trained arm with most of them, all finished, now."""
    arms = [
        sorted(arm.runs)
        for arm in question.arms.values()
        if arm.trained and all(run.done for run in arm.runs.values())
    ]
    return max(arms, key=len, default=[])
