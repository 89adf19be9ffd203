"""Whether any two sets of texts share an item that they must not share (data contamination).

Always run before training; a leak refuses the data. Every pair of sets is compared and reported;
whether a hit refuses depends on the roles of the two sets. Rephrasings that share no wording are
out of scope: n-grams cannot see them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations_with_replacement
from typing import Any, Literal, get_args

import numpy as np

from kvdistill.data import overlap
from kvdistill.data.ngrams import Vocabulary
from kvdistill.data.normalise import split_ngram_tokens
from kvdistill.data.overlap import Corpus, Match, find_exact_copies, find_near_copies
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
MAX_SHOWN = 20
"""Hits listed for each pair of sets; all are counted."""
MAX_SHOWN_TOKENS = 40
"""Of the longest run of tokens that two documents share."""
WITHHELD = "(withheld: its authors ask that it not be shown)"
THRESHOLDS: dict[str, dict[str, Any]] = {
    "exact": {"equal": "letters and digits, operators in doubt"},
    "ngram": {
        "run_tokens_by_shorter_text": [list(seed[:2]) for seed in overlap.SEED_LENGTHS],
        "words": overlap.MIN_WORD_SHARE,
        "trigrams": overlap.MIN_TRIGRAM_SHARE,
        "numbers": overlap.MIN_NUMBER_SHARE,
        "or_13_grams": overlap.MIN_LONG_NGRAM_SHARE,
    },
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
    """`exact` or `ngram`."""
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
    """`exact`, `whole` or `ngram`."""
    score: float
    shared: str
    """The longest run of tokens in both, or `WITHHELD`."""


@dataclass(frozen=True, kw_only=True)
class PairReport:
    """What comparing two sets by one method found. Written to the report as it is."""

    first: str
    second: str
    method: str
    """`exact` or `ngram`."""
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

    @property
    def refusal(self) -> str:
        """One line for a report that holds a leak: which sets, how many hits, the first ids."""
        leaks = [pair for pair in self.pairs if pair.verdict == "leak"]
        first = leaks[0]
        shown = first.shown[0]
        return (
            f"data leaks: {sum(pair.hits for pair in leaks)} hits; {first.first} and "
            f"{first.second} share {first.hits} ({first.method}), the first "
            f"{shown.first!r} and {shown.second!r}: {shown.shared!r}. Remove them from the "
            "data, or list pairs in data.leakage.allow with a reason."
        )


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """Compares every pair of sets, and each set with itself."""

    near: str = "drop"
    """What becomes of near copies between the parts of one source: dropped from the part nearer
    to training, refused, or reported (generated templates are near copies by design). Near
    copies of an evaluation task, and exact copies anywhere, are always refused."""
    allow: Sequence[Mapping[str, str]] = ()
    """Accepted pairs, each `{first: id, second: id, reason: why}`, in either order."""

    def __post_init__(self) -> None:
        if self.near not in ("drop", "refuse", "report"):
            raise ConfigError(
                f"data.leakage.near must be drop, refuse or report, got {self.near!r}."
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
            if first.role in TRAINING_ROLES and second.name in tainted:
                tainted[second.name] |= {held_out for _, held_out in comparison.list_ids()}
        return LeakageReport(pairs, {name: sorted(ids) for name, ids in tainted.items()})

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
        own = one.role in OWN_ROLES and other.role in OWN_ROLES
        return method == "exact" or not own or self.near != "report"

    def _is_allowed(self, first: str, second: str) -> bool:
        return any({first, second} == {entry["first"], entry["second"]} for entry in self.allow)


def _compare_sets(sets: Sequence[DocumentSet]) -> Iterator[SetComparison]:
    """Every pair of sets, and each set with itself, by each method; `SKIPPED_PAIRS` left out."""
    # One vocabulary, so that an id is the same token in every set.
    vocabulary = Vocabulary()
    ordered = sorted(sets, key=lambda each: ROLES.index(each.role))
    corpora = [Corpus([d.text for d in each.documents], vocabulary) for each in ordered]
    # After the corpora: building them fills the vocabulary.
    numbers = np.array([any(c.isdigit() for c in token) for token in vocabulary.ids], bool)
    for (one, left), (other, right) in combinations_with_replacement(
        zip(ordered, corpora, strict=True), 2
    ):
        if (one.role, other.role) in SKIPPED_PAIRS:
            continue
        start = time.perf_counter()
        matches = find_exact_copies(left, right)
        yield SetComparison(one, other, "exact", time.perf_counter() - start, matches)
        start = time.perf_counter()
        matches = find_near_copies(left, right, numbers)
        yield SetComparison(one, other, "ngram", time.perf_counter() - start, matches)


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
