"""What a study asked at first and asks now: seeds, primary and claims that changed after a look."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kvdistill.history import Event, History
from kvdistill.stats.audit.registration import format_words
from kvdistill.stats.hypotheses import hash_claim
from kvdistill.stats.study import QuestionRecords, Study

JUDGING_SETTINGS = ("confidence", "looks", "spending", "variance", "routing_min_nats")
"""Settings that decide what counts as shown."""


@dataclass
class RecordedQuestion:
    """A question as the record has it up to some event."""

    seeds: list[int] = field(default_factory=list)
    """Of its trained arms, in the order in which they were planned."""
    runs: set[str] = field(default_factory=set)
    primary: Any = None
    claims: dict[str, str] = field(default_factory=dict)
    """Hash -> words."""
    seen: list[int] = field(default_factory=list)
    """Its seeds that some look had scores of."""


def list_changes(study: Study, looks: int) -> Iterator[str]:
    """A sentence for everything that was changed once scores had been looked at.

    A design of several `looks` adds seeds as it planned, which is no change.
    """
    for folder in study.folders:
        yield from follow_study(study, folder.name, more_seeds=looks > 1)


def follow_study(study: Study, name: str, *, more_seeds: bool) -> Iterator[str]:
    """The events of one study in order, and what each changed."""
    questions: dict[str, RecordedQuestion] = {}
    settings: dict[str, Any] = {}
    planned_settings: Mapping[str, Any] | None = None
    for event in study.history.select(name, "planned", "looked"):
        if event.event == "looked":
            mark_seen(questions.values(), event.facts["finished"])
            settings = event.facts.get("settings", {})
            if planned_settings is not None:
                yield from compare_judging_settings(planned_settings, settings, event)
            continue
        # What was planned first counts, however it is put later.
        planned_settings = planned_settings or event.facts.get("settings", {})
        for question, node in event.facts["questions"].items():
            is_known = question in questions
            state = questions.setdefault(question, RecordedQuestion())
            where = f"{question}, at {format_time(event)}"
            if is_known and state.seen:
                if not more_seeds:
                    yield from compare_seeds(state, node, where)
                yield from compare_judging(state, node["primary"], node["claims"], where)
            take_question(state, node)
    yield from list_edits(study, name, questions)


def mark_seen(questions: Iterable[RecordedQuestion], finished: Mapping[str, str]) -> None:
    """Notes which of the planned seeds had scores at a look."""
    for state in questions:
        if state.runs & set(finished):
            state.seen = list(state.seeds)


def compare_seeds(state: RecordedQuestion, node: Mapping[str, Any], where: str) -> Iterator[str]:
    """The seeds that a command asked for and none before it."""
    if added := [seed for seed in list_seeds(node) if seed not in state.seeds]:
        seen = ", ".join(map(str, state.seen))
        yield f"{where}: seeds {', '.join(map(str, added))} were added after a look at {seen}"


def compare_judging(
    state: RecordedQuestion, primary: Any, claims: Iterable[Mapping[str, Any]], where: str
) -> Iterator[str]:
    """How the primary endpoint and the claims differ from those that were recorded."""
    if primary != state.primary:
        before, after = describe_primary(state.primary), describe_primary(primary)
        yield f"{where}: the primary comparison was changed after a look, from {before} to {after}"
    # A recorded claim carries its hash; one of plan.json is as its sweep has it.
    words = {claim.get("sha256") or hash_claim(claim): format_words(claim) for claim in claims}
    for digest, text in words.items():
        if digest not in state.claims:
            yield f"{where}: the claim \u201c{text}\u201d was added after a look"
        elif state.claims[digest] != text:
            words_before = f"\u201c{state.claims[digest]}\u201d"
            yield f"{where}: {words_before} was reworded after a look, to \u201c{text}\u201d"
    for digest, text in state.claims.items():
        if digest not in words:
            yield f"{where}: the claim \u201c{text}\u201d was dropped or edited after a look"


def take_question(state: RecordedQuestion, node: Mapping[str, Any]) -> None:
    """The question as this command asks it."""
    state.seeds += [seed for seed in list_seeds(node) if seed not in state.seeds]
    state.runs |= {run for arm in node["arms"].values() for run in arm["runs"].values()}
    state.primary = node["primary"]
    state.claims = {claim["sha256"]: format_words(claim) for claim in node["claims"]}


def list_seeds(node: Mapping[str, Any]) -> list[int]:
    """The seeds of a recorded question's trained arms."""
    arms = [arm["runs"] for arm in node["arms"].values() if arm["trained"]]
    return list(dict.fromkeys(int(seed) for runs in arms for seed in runs))


def compare_judging_settings(
    planned: Mapping[str, Any], now: Mapping[str, Any], event: Event
) -> Iterator[str]:
    """What a report's stats group has otherwise than the plan's, of what decides."""
    for key in JUDGING_SETTINGS:
        if key in planned and key in now and planned[key] != now[key]:
            yield (
                f"stats.{key}={now[key]} at the look of {format_time(event)}, {planned[key]} when "
                "the study was planned"
            )


def list_edits(study: Study, name: str, recorded: Mapping[str, RecordedQuestion]) -> Iterator[str]:
    """How plan.json reads otherwise than the last command left it: it was edited by hand."""
    for question in study.questions.values():
        state = recorded.get(question.name.removeprefix(f"{name}: "))
        if state is not None and is_of_study(question, state):
            claims = [*question.hypotheses, *question.criteria]
            for line in compare_judging(state, question.primary, claims, question.name):
                yield f"{line}; no command did so: plan.json was edited"


def is_of_study(question: QuestionRecords, state: RecordedQuestion) -> bool:
    """Whether the loaded question is the recorded one, and not its namesake of a joined study."""
    runs = {run.identity for arm in question.arms.values() for run in arm.runs.values()}
    return bool(runs & state.runs)


def describe_primary(primary: Any) -> str:
    """The primary endpoint's arm and baseline."""
    if not isinstance(primary, Mapping):
        return "none"
    return f"{primary.get('arm')} against {primary.get('baseline')}"


def format_time(event: Event) -> str:
    """The event's minute, UTC."""
    return event.time[:16].replace("T", " ")


def count_recorded_claims(history: History, *studies: str) -> int:
    """Claims that commands asked, each once a question; of these studies, or of all."""
    claims = set()
    for event in history.events:
        if event.event == "planned" and (not studies or event.study in studies):
            for question, node in event.facts["questions"].items():
                claims |= {(event.study, question, claim["sha256"]) for claim in node["claims"]}
            claims |= {(event.study, "", claim["sha256"]) for claim in event.facts["claims"]}
    return len(claims)
