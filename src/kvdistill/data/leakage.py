"""Whether any two sets of texts share an item that they must not share (data contamination).

Always run before training; a leak refuses the data. Every pair of sets is compared and reported;
whether a hit refuses depends on the roles of the two sets. Rephrasings that share no wording are
out of scope (`UNSEEN`): n-grams cannot see them.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cache
from itertools import combinations_with_replacement
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool

from kvdistill.data.contamination import overlap
from kvdistill.data.contamination.ngrams import Vocabulary
from kvdistill.data.contamination.normalise import split_ngram_tokens
from kvdistill.data.contamination.overlap import (
    Corpus,
    Match,
    find_exact_copies,
    find_near_copies,
    find_template_copies,
)
from kvdistill.errors import ConfigError

Role = Literal["train", "rationale", "calibration", "examples", "val", "test", "drawn", "task"]
ROLES = get_args(Role)
"""What a set is for. Of two sets, the one with the later role here is the one to protect. `drawn`
is a task whose items are rows of the test part."""
TRAINING_ROLES = ("train", "rationale", "calibration")
"""A held-out item found in a set of one of these is tainted."""
OWN_ROLES = ("train", "calibration", "val", "test", "drawn")
"""Sets of rows of the one source; `Leakage.near` rules near copies between them."""
SKIPPED_PAIRS = (
    {("train", "rationale"), ("train", "calibration"), ("rationale", "calibration")}
    | {("rationale", role) for role in ("rationale", "examples", "val", "test", "drawn")}
    | {("test", "drawn"), ("drawn", "drawn"), ("drawn", "task"), ("examples", "examples")}
)
"""Not compared, since they overlap by design: calibration rows are the teachers' own, a rationale
repeats its question, and what is drawn from the test part is of the test part."""
REPORTED_PAIRS = {
    ("train", "examples"), ("calibration", "examples"), ("examples", "val"), ("examples", "test"),
    ("examples", "drawn"), ("test", "task"), ("task", "task"),
}  # fmt: skip
"""Reported but never refused: few-shot examples come from public train sets, as the split may, and
two benchmarks may overlap. Nor are duplicates within a set."""
SHOWN_BEFORE = ("examples", "task")
"""A benchmark's published examples are of one mould with its items (78 near copies among 69 and 324
of BBH's): that is its protocol, and only an item that is itself shown is refused."""
MAX_SHOWN = 20
"""Hits listed for each pair of sets; all are counted."""
MAX_SHOWN_TOKENS = 40
"""Of the longest run of tokens that two documents share."""
UNSEEN = ("paraphrase that shares no wording", "translation", "answers without their question")
"""What no method here can see: named wherever a check is shown as passed."""
WITHHELD = "(withheld: its authors ask that it not be shown)"
THRESHOLDS: dict[str, dict[str, Any]] = {
    "exact": {"equal": "letters and digits, operators in doubt"},
    "ngram": {
        "run_tokens_by_shorter_text": [list(seed[:2]) for seed in overlap.SEED_LENGTHS],
        "words": overlap.MIN_WORD_SHARE,
        "trigrams": overlap.MIN_TRIGRAM_SHARE,
        "numbers": overlap.MIN_NUMBER_SHARE,
        "or_13_grams": overlap.MIN_LONG_NGRAM_SHARE,
        "or_characters": overlap.MIN_CHARACTER_SHARE,
    },
    "template": {"equal": "words, with every number masked"},
}
"""By method, as reported; `data.overlap` says what they mean."""


@dataclass(frozen=True)
class Document:
    """A text to compare: a question, with its options where it has them."""

    id: str
    text: str


@dataclass(frozen=True)
class DocumentSet:
    """A part of the split, an evaluation task, few-shot examples or calibration rows."""

    name: str
    role: Role
    documents: Sequence[Document]
    private: bool = False
    """Whether its authors ask that no text of it be shown."""


@dataclass(frozen=True)
class SetComparison:
    """Two sets compared by one method; of two roles, `second` has the later."""

    first: DocumentSet
    second: DocumentSet
    method: str
    """`exact`, `ngram` or `template`."""
    seconds: float
    matches: Sequence[Match]

    def list_ids(self) -> list[tuple[str, str]]:
        """Of every match, the ids of its two documents."""
        return [
            (self.first.documents[match.first].id, self.second.documents[match.second].id)
            for match in self.matches
        ]


@dataclass(frozen=True)
class Hit:
    """Two documents that hold the same item, by their ids. Written to the report as it is."""

    first: str
    second: str
    how: str
    """`exact`, `whole`, `ngram` or `template`."""
    score: float
    shared: str
    """The longest run of tokens in both, or `WITHHELD`."""


@dataclass(frozen=True, kw_only=True)
class PairReport:
    """What comparing two sets by one method found. Written to the report as it is."""

    first: str
    second: str
    method: str
    """`exact`, `ngram` or `template`."""
    threshold: Mapping[str, Any]
    blocking: bool
    """Whether a hit refuses the data."""
    checked: int
    hits: int
    """Without the allowed ones."""
    allowed: int
    rate: float
    """Share of the second set's documents that are hit."""
    shown: list[Hit]
    verdict: str
    """`clean`, `reported` or `leak`."""
    elapsed_s: float


@dataclass(frozen=True)
class LeakageReport:
    """What comparing all sets found."""

    pairs: list[PairReport]
    tainted: dict[str, list[str]]
    """By held-out set, the ids of its items found in training, allowed or only reported ones too;
    the scores on the others are those of the clean subset."""

    @property
    def verdict(self) -> str:
        """`clean` or `leak`."""
        return "leak" if any(pair.verdict == "leak" for pair in self.pairs) else "clean"


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """Compares every pair of sets, and each set with itself."""

    near: str = "drop"
    """What becomes of near copies between the parts of one source: dropped from the part nearer
    to training, refused, or reported (generated templates are near copies by design). Near
    copies of an evaluation task in what is trained on, and exact copies anywhere, are always
    refused."""
    template: str = "report"
    """What becomes of two questions that are equal but for their numbers: reported, or refused."""
    allow: Sequence[Mapping[str, str]] = ()
    """Accepted pairs, each `{first: id, second: id, reason: why}`, in either order."""

    def __post_init__(self) -> None:
        if self.near not in ("drop", "refuse", "report"):
            raise ConfigError(
                f"data.leakage.near must be drop, refuse or report, got {self.near!r}."
            )
        if self.template not in ("report", "refuse"):
            raise ConfigError(
                f"data.leakage.template must be report or refuse, got {self.template!r}."
            )
        for number, entry in enumerate(self.allow):
            if set(entry) != {"first", "second", "reason"} or not all(entry.values()):
                raise ConfigError(
                    f"data.leakage.allow[{number}] must give first, second and reason, "
                    f"got {dict(entry)}."
                )

    def __call__(self, sets: Sequence[DocumentSet]) -> LeakageReport:
        """What the sets share; the order of `sets` does not matter to the verdict."""
        pairs = []
        tainted: dict[str, set[str]] = {each.name: set() for each in sets if _is_held_out(each)}
        for comparison in _compare_sets(sets):
            pairs.append(self._report_pair(comparison))
            first, second = comparison.first, comparison.second
            # With other numbers an item is another item: its score says what it says.
            known = comparison.method != "template" and first.role in TRAINING_ROLES
            if known and second.name in tainted:
                tainted[second.name] |= {held_out for _, held_out in comparison.list_ids()}
        return LeakageReport(pairs, {name: sorted(ids) for name, ids in tainted.items()})

    def describe_refusal(self, report: LeakageReport, sets: Sequence[DocumentSet]) -> str:
        """One line for a report of these sets that holds a leak.

        Which sets, how many hits, the first ids, the setting that refuses them, and the way out.
        """
        leaks = [pair for pair in report.pairs if pair.verdict == "leak"]
        first, shown = leaks[0], leaks[0].shown[0]
        roles = {each.name: each.role for each in sets}
        return (
            f"data leaks: {sum(pair.hits for pair in leaks)} hits; {first.first} and "
            f"{first.second} share {first.hits} ({first.method}), the first "
            f"{shown.first!r} and {shown.second!r}: {shown.shared!r}. "
            f"{self._explain_refusal(first.method, roles[first.first], roles[first.second])}, or "
            "remove them from the data, or list pairs in data.leakage.allow with a reason."
        )

    def _explain_refusal(self, method: str, one: Role, other: Role) -> str:
        if method == "template":
            return (
                f"data.leakage.template={self.template} refuses questions that are equal but for "
                "their numbers: data.leakage.template=report names them and goes on"
            )
        if method == "ngram" and one in OWN_ROLES and other in OWN_ROLES:
            ways = {"report": "names them and goes on", "drop": "leaves them out"}
            ways.pop(self.near, None)
            others = ", ".join(f"data.leakage.near={name} {what}" for name, what in ways.items())
            return f"data.leakage.near={self.near} keeps near copies out of held-out rows: {others}"
        # Of what is scored, and of equal rows, no value makes an honest number.
        return (
            f"No data.leakage.near ({self.near} here) lets these pass: choose other data, or "
            "other tasks"
        )

    def find_near_copies(self, sets: Sequence[DocumentSet]) -> dict[str, dict[str, str]]:
        """By set, the ids that are near copies of an item in a later set, with that item's id."""
        copies: dict[str, dict[str, str]] = {each.name: {} for each in sets}
        for comparison in _compare_sets(sets):
            # The first set is nearer to training: it gives the item up, not the held-out one.
            if comparison.method == "ngram" and comparison.first is not comparison.second:
                for first, second in comparison.list_ids():
                    if not self._is_allowed(first, second):
                        copies[comparison.first.name].setdefault(first, second)
        return copies

    def _report_pair(self, comparison: SetComparison) -> PairReport:
        one, other, matches = comparison.first, comparison.second, comparison.matches
        hits = [
            match
            for match, ids in zip(matches, comparison.list_ids(), strict=True)
            if not self._is_allowed(*ids)
        ]
        blocking = self._is_blocking(one, other, comparison.method)
        return PairReport(
            first=one.name,
            second=other.name,
            method=comparison.method,
            threshold=THRESHOLDS[comparison.method],
            blocking=blocking,
            checked=len(other.documents),
            hits=len(hits),
            allowed=len(matches) - len(hits),
            rate=len({match.second for match in hits}) / max(1, len(other.documents)),
            shown=[_describe_match(one, other, match) for match in hits[:MAX_SHOWN]],
            verdict="clean" if not hits else "leak" if blocking else "reported",
            elapsed_s=round(comparison.seconds, 3),
        )

    def _is_blocking(self, one: DocumentSet, other: DocumentSet, method: str) -> bool:
        """Whether a hit between these sets refuses the data."""
        if one is other or (one.role, other.role) in REPORTED_PAIRS:
            return False
        if (one.role, other.role) == SHOWN_BEFORE:
            return method == "exact"
        if method == "template":
            return self.template == "refuse"
        own = one.role in OWN_ROLES and other.role in OWN_ROLES
        return method == "exact" or not own or self.near != "report"

    def _is_allowed(self, first: str, second: str) -> bool:
        return any({first, second} == {entry["first"], entry["second"]} for entry in self.allow)


def _compare_sets(sets: Sequence[DocumentSet]) -> Iterator[SetComparison]:
    """Every pair of sets, and each set with itself, by each method; `SKIPPED_PAIRS` left out.

    A set that lies whole within another is compared as a part of it. By itself it would have
    other common wording, and what had been dropped from the whole could be refused in the part.
    """
    # One vocabulary, so that an id is the same token in every set.
    vocabulary = Vocabulary()
    ordered = sorted(sets, key=lambda each: ROLES.index(each.role))
    wholes = _find_wholes(ordered)
    corpora = {
        whole.name: Corpus([d.text for d in whole.documents], vocabulary)
        for whole in wholes.values()
    }
    # After the corpora: building them fills the vocabulary.
    numbers = np.array([any(c.isdigit() for c in token) for token in vocabulary.ids], bool)

    @cache
    def compare(first: str, second: str) -> dict[str, tuple[list[Match], float]]:
        return _find_copies(corpora[first], corpora[second], numbers)

    for one, other in combinations_with_replacement(ordered, 2):
        if (one.role, other.role) in SKIPPED_PAIRS:
            continue
        left, right = wholes[one.name], wholes[other.name]
        for method, (matches, seconds) in compare(left.name, right.name).items():
            if (one, other) != (left, right):
                matches = _restrict_matches(matches, (left, right), (one, other))
            yield SetComparison(one, other, method, seconds, matches)


def _find_wholes(sets: Sequence[DocumentSet]) -> dict[str, DocumentSet]:
    """By name of a set of rows of the split the part that holds all of it; of others themselves."""
    # By their texts: a task of several families asks a row under another id than the part has.
    texts = {each.name: {document.text for document in each.documents} for each in sets}
    parts = [each for each in sets if each.role in ("train", "val", "test")]
    return {
        each.name: next((part for part in parts if texts[each.name] <= texts[part.name]), each)
        if each.role in ("calibration", "drawn")
        else each
        for each in sets
    }


def _find_copies(
    one: Corpus, other: Corpus, numbers: Bool[np.ndarray, " ids"]
) -> dict[str, tuple[list[Match], float]]:
    """By method, the copies that two sets share and the seconds that it took to find them."""
    methods: dict[str, Callable[[], list[Match]]] = {
        "exact": lambda: find_exact_copies(one, other),
        "ngram": lambda: find_near_copies(one, other, numbers),
        "template": lambda: find_template_copies(one, other),
    }
    copies = {}
    for method, find in methods.items():
        start = time.perf_counter()
        copies[method] = (find(), time.perf_counter() - start)
    return copies


def _restrict_matches(
    matches: Sequence[Match],
    wholes: tuple[DocumentSet, DocumentSet],
    parts: tuple[DocumentSet, DocumentSet],
) -> list[Match]:
    """Of the matches of two wholes, those of their parts, by index in the parts."""
    places: tuple[dict[str, list[int]], dict[str, list[int]]] = ({}, {})
    for part, indices in zip(parts, places, strict=True):
        for at, document in enumerate(part.documents):
            indices.setdefault(document.text, []).append(at)
    restricted = (
        replace(match, first=first, second=second)
        for match in matches
        for first in places[0].get(wholes[0].documents[match.first].text, ())
        for second in places[1].get(wholes[1].documents[match.second].text, ())
    )
    # Once each, where a whole holds a text twice.
    return list(dict.fromkeys(restricted))


def _is_held_out(each: DocumentSet) -> bool:
    """Whether a model is scored, or chosen, on the set."""
    return each.role in ("val", "test", "drawn", "task")


def _describe_match(one: DocumentSet, other: DocumentSet, match: Match) -> Hit:
    """The match as the report shows it, with the longest run of tokens that both texts hold."""
    first, second = one.documents[match.first], other.documents[match.second]
    left, right = split_ngram_tokens(first.text), split_ngram_tokens(second.text)
    # autojunk would ignore frequent tokens, which in a text of 200 and more are its common words.
    run = SequenceMatcher(None, left, right, autojunk=False).find_longest_match()
    shared = " ".join(left[run.a : run.a + min(run.size, MAX_SHOWN_TOKENS)])
    return Hit(
        first=first.id,
        second=second.id,
        how=match.method,
        score=round(match.score, 3),
        shared=WITHHELD if one.private or other.private else shared,
    )
