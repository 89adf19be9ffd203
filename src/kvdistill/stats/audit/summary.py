"""What was asked, how often it was looked at, and what changed: the record in a few sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvdistill.history import Event
from kvdistill.stats.audit.changes import count_recorded_claims, format_time, list_changes
from kvdistill.stats.audit.looks import number_look
from kvdistill.stats.audit.lost_runs import (
    list_failures_so_far,
    list_lost_runs,
    list_unregistered_runs,
)
from kvdistill.stats.audit.seed_choice import list_dropped_seeds, list_picked_seeds
from kvdistill.stats.audit.tuning import count_trials, list_unequal_tuning
from kvdistill.stats.audit.tuning_choice import list_tuning_faults
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Study

MANUALLY_COMPARED = "compared-"
"""How the names begin of studies that `report.runs` makes."""


@dataclass(frozen=True, kw_only=True)
class HistorySummary:
    """The record of a study, as its page shows it."""

    sentence: str
    """What was asked and how often; of a design of several looks, which look this is."""
    notes: Sequence[str]
    """What a reader should know: runs that failed, also where they were done again."""
    warnings: Sequence[str]
    """What makes the numbers mean less than they seem."""


def summarise_history(study: Study, settings: Settings) -> HistorySummary:
    """The study's record, and everything in it that a reviewer would ask about."""
    names = [folder.name for folder in study.folders]
    planned = [event for name in names for event in study.history.select(name, "planned")]
    return HistorySummary(
        sentence=" ".join(
            [describe_record(study, names, planned), *describe_looks(study, settings)]
        ),
        notes=list(list_failures_so_far(study)),
        warnings=[
            *study.history.problems,
            *list_unregistered_runs(study),
            *list_excess_looks(study, settings),
            *list_changes(study, settings.looks),
            *list_picked_seeds(study),
            *list_dropped_seeds(study),
            *list_lost_runs(study),
            *list_unequal_tuning(study),
            *list_tuning_faults(study),
        ],
    )


def describe_record(study: Study, names: Sequence[str], planned: Sequence[Event]) -> str:
    """The one sentence: claims, seeds, looks, tuning; or why there is none."""
    if not planned:
        if all(name.startswith(MANUALLY_COMPARED) for name in names):
            return "These runs were picked by hand: no plan asked for this comparison."
        return (
            f"No record of {', '.join(names)}: made before the root kept one, so what was asked, "
            "how often it was looked at and what was left out is not known."
        )
    claims = count_recorded_claims(study.history, *names)
    parts = [
        f"Asked: {claims} claim{'' if claims == 1 else 's'} in this study, "
        f"{count_recorded_claims(study.history)} under this root",
        describe_seeds(study),
        describe_look_count(study, names),
    ]
    if trials := count_trials(study.history):
        each = ", ".join(f"{arm} {number}" for arm, number in trials.items())
        parts.append(f"variants of training tried under this root: {each}")
    recorded = {event.study for event in planned}
    if missing := [name for name in names if name not in recorded]:
        parts.append(f"no record of {', '.join(missing)}, made before the root kept one")
    older = [event.study for event in planned if event.facts.get("before_record")]
    if older:
        first = format_time(planned[0])
        parts.append(f"{', '.join(older)} is older than its record, which begins at {first}")
    return "; ".join(parts) + "."


def describe_seeds(study: Study) -> str:
    """Seeds planned and finished, of all questions together."""
    runs = [run for run in study.runs.values() if run.trained]
    seeds = sorted({run.seed for run in runs})
    unfinished = sorted({run.seed for run in runs if not run.done})
    text = f"seeds planned: {', '.join(map(str, seeds)) or 'none'}"
    if unfinished:
        return f"{text}; not finished in every arm: {', '.join(map(str, unfinished))}"
    return f"{text}, all finished" if seeds else text


def describe_look_count(study: Study, names: Sequence[str]) -> str:
    """How often a report was made, each state of the records counting once."""
    looks = [event for name in names for event in study.history.select(name, "looked")]
    early = sum(len(event.facts["finished"]) < event.facts["planned"] for event in looks)
    times = "once" if len(looks) == 1 else f"{len(looks)} times"
    if not looks:
        return "never looked at"
    alone = "before" if len(looks) == 1 else f"{early} of them before"
    when = alone if early else "after"
    return f"looked at {times}, {when} all runs had finished"


def describe_looks(study: Study, settings: Settings) -> Iterator[str]:
    """Which look each question is at, where a design plans several."""
    for name, question in study.questions.items():
        if text := number_look(study, question, settings).describe():
            yield f"{name}: {text}."


def list_excess_looks(study: Study, settings: Settings) -> Iterator[str]:
    """Questions that were judged with more and more seeds, more often than the design plans."""
    for name, question in study.questions.items():
        look = number_look(study, question, settings)
        if look.number > look.planned:
            counts = ", ".join(map(str, look.seeds))
            yield (
                f"{name}: judged {look.number} times, with {counts} seeds, where stats.looks="
                f"{look.planned}: the error rate is above {100 * settings.alpha:g} %. Plan looks "
                "beforehand with stats.looks"
            )
