"""Whether any two sets of texts share an item that they must not share.

Always run, before training; a leak refuses the data (STUDY.md A2). Every pair of sets is
checked and reported; whether a hit refuses depends on what the two sets are for. Rephrasings
that share no wording are out of scope: n-grams cannot see them (EVALUATION.md section 3).
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
"""What a set is for. Of two sets, the later is the one to protect. `drawn` is a task whose items
are rows of the test part."""
TRAINING_ROLES = ("train", "rationale", "calibration")
OWN_ROLES = ("train", "calibration", "val", "test", "drawn")
SKIPPED_PAIRS = (
    {("train", "rationale"), ("train", "calibration"), ("rationale", "calibration")}
    | {("rationale", role) for role in ("rationale", "examples", "val", "test", "drawn")}
    | {("test", "drawn"), ("drawn", "drawn"), ("drawn", "task"), ("examples", "examples")}
)
"""Nothing to learn: calibration rows are the teachers' own, a rationale says its question, and
what is drawn from the test part is of the test part."""
REPORTED_PAIRS = {
    ("train", "examples"), ("calibration", "examples"), ("examples", "val"), ("examples", "test"),
    ("examples", "drawn"), ("test", "task"), ("task", "task"),
}  # fmt: skip
"""Never refused: few-shot examples come from public train sets, as the split may, and two
benchmarks may overlap. Nor are duplicates within a set."""
MAX_SHOWN = 20
"""Hits listed a pair; all are counted."""
MAX_SHOWN_TOKENS = 40
"""Tokens of a shared run that are shown."""
WITHHELD = "(withheld: its authors ask that it not be shown)"
THRESHOLDS = {
    "exact": {"equal": "letters and digits, operators in doubt"},
    "ngram": {
        "run_tokens_by_shorter_text": [list(seed[:2]) for seed in overlap.SEED_LENGTHS],
        "words": overlap.MIN_WORD_SHARE,
        "trigrams": overlap.MIN_TRIGRAM_SHARE,
        "numbers": overlap.MIN_NUMBER_SHARE,
        "or_13_grams": overlap.MIN_LONG_NGRAM_SHARE,
    },
}
"""Each with its threshold, as reported; `overlap` says what they mean."""


@dataclass(frozen=True)
class Document:
    """What is compared: a question, with its options where it has them."""

    id: str
    text: str


@dataclass(frozen=True)
class DocumentSet:
    """One set: a part of the split, an evaluation task, few-shot examples, calibration rows."""

    name: str
    role: Role
    documents: Sequence[Document]
    private: bool = False
    """Whether its authors ask that no text of it be shown."""


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """Checks every pair of sets, and each set for duplicates."""

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

    def __call__(self, sets: Sequence[DocumentSet]) -> dict[str, Any]:
        """The report's `verdict` ("clean" or "leak"), `pairs` and `tainted`.

        `tainted` are the ids of held-out items found in training, allowed or only reported ones
        too, by set; the scores on the others are those of the clean subset.
        """
        pairs: list[dict[str, Any]] = []
        tainted: dict[str, set[str]] = {each.name: set() for each in sets if _is_held_out(each)}
        for one, other, matches in self._compare_sets(sets):
            pairs.append(self._report_pair(one, other, *matches))
            if one.role in TRAINING_ROLES and other.name in tainted:
                tainted[other.name] |= {other.documents[match.second].id for match in matches[2]}
        return {
            "verdict": "leak" if any(pair["verdict"] == "leak" for pair in pairs) else "clean",
            "pairs": pairs,
            "tainted": {name: sorted(ids) for name, ids in tainted.items()},
        }

    def find_near_copies(self, sets: Sequence[DocumentSet]) -> dict[str, dict[str, str]]:
        """By set, the ids that are near copies of an item in a later set, with that item's id."""
        copies: dict[str, dict[str, str]] = {each.name: {} for each in sets}
        for one, other, (method, _, matches) in self._compare_sets(sets):
            if method == "ngram" and one is not other:
                for first, second in self._list_ids(one, other, matches):
                    if not self._is_allowed(first, second):
                        copies[one.name].setdefault(first, second)
        return copies

    def _compare_sets(
        self, sets: Sequence[DocumentSet]
    ) -> Iterator[tuple[DocumentSet, DocumentSet, tuple[str, float, list[Match]]]]:
        """Every pair that is worth comparing, once a method, with the seconds it took."""
        vocabulary = Vocabulary()
        ordered = sorted(sets, key=lambda each: ROLES.index(each.role))
        corpora = [Corpus([d.text for d in each.documents], vocabulary) for each in ordered]
        numbers = np.array([any(c.isdigit() for c in token) for token in vocabulary.ids], bool)
        for (one, left), (other, right) in combinations_with_replacement(
            zip(ordered, corpora, strict=True), 2
        ):
            if (one.role, other.role) in SKIPPED_PAIRS:
                continue
            start = time.perf_counter()
            matches = find_exact_copies(left, right)
            yield one, other, ("exact", time.perf_counter() - start, matches)
            start = time.perf_counter()
            matches = find_near_copies(left, right, numbers)
            yield one, other, ("ngram", time.perf_counter() - start, matches)

    def _report_pair(
        self,
        one: DocumentSet,
        other: DocumentSet,
        method: str,
        seconds: float,
        matches: list[Match],
    ) -> dict[str, Any]:
        refused = [
            match
            for match, ids in zip(matches, self._list_ids(one, other, matches), strict=True)
            if not self._is_allowed(*ids)
        ]
        blocking = self._is_blocking(one, other, method)
        return {
            "first": one.name,
            "second": other.name,
            "method": method,
            "threshold": THRESHOLDS[method],
            "blocking": blocking,
            "checked": len(other.documents),
            "hits": len(refused),
            "allowed": len(matches) - len(refused),
            "rate": len({match.second for match in refused}) / max(1, len(other.documents)),
            "shown": [_describe_match(one, other, match) for match in refused[:MAX_SHOWN]],
            "verdict": "clean" if not refused else "leak" if blocking else "reported",
            "elapsed_s": round(seconds, 3),
        }

    def _is_blocking(self, one: DocumentSet, other: DocumentSet, method: str) -> bool:
        if one is other or (one.role, other.role) in REPORTED_PAIRS:
            return False
        own = one.role in OWN_ROLES and other.role in OWN_ROLES
        return method == "exact" or not own or self.near != "report"

    def _is_allowed(self, first: str, second: str) -> bool:
        return any({first, second} == {entry["first"], entry["second"]} for entry in self.allow)

    def _list_ids(
        self, one: DocumentSet, other: DocumentSet, matches: Sequence[Match]
    ) -> list[tuple[str, str]]:
        return [
            (one.documents[match.first].id, other.documents[match.second].id) for match in matches
        ]


def _is_held_out(each: DocumentSet) -> bool:
    return each.role in ("val", "test", "drawn", "task")


def _describe_match(one: DocumentSet, other: DocumentSet, match: Match) -> dict[str, Any]:
    first, second = one.documents[match.first], other.documents[match.second]
    left, right = split_ngram_tokens(first.text), split_ngram_tokens(second.text)
    run = SequenceMatcher(None, left, right, autojunk=False).find_longest_match()
    return {
        "first": first.id,
        "second": second.id,
        "how": match.method,
        "score": round(match.score, 3),
        "shared": WITHHELD
        if one.private or other.private
        else " ".join(left[run.a : run.a + min(run.size, MAX_SHOWN_TOKENS)]),
    }


def format_refusal(pairs: Sequence[Mapping[str, Any]]) -> str:
    """One line for a report that holds a leak: which sets, how many, the first ids."""
    leaks = [pair for pair in pairs if pair["verdict"] == "leak"]
    first = leaks[0]
    shown = first["shown"][0]
    return (
        f"data leaks: {sum(pair['hits'] for pair in leaks)} hits; {first['first']} and "
        f"{first['second']} share {first['hits']} ({first['method']}), the first "
        f"{shown['first']!r} and {shown['second']!r}: {shown['shared']!r}. Remove them from the "
        "data, or list pairs in data.leakage.allow with a reason."
    )
