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
from kvdistill.data.normalise import tokens
from kvdistill.data.overlap import Corpus, Match, equal, overlapping
from kvdistill.errors import ConfigError

Role = Literal["train", "rationale", "calibration", "examples", "val", "test", "drawn", "task"]
ROLES = get_args(Role)
"""What a set is for. Of two sets, the later is the one to protect. `drawn` is a task whose items
are rows of the test part."""
TAUGHT = ("train", "rationale", "calibration")
OWN = ("train", "calibration", "val", "test", "drawn")
SKIPPED = (
    {("train", "rationale"), ("train", "calibration"), ("rationale", "calibration")}
    | {("rationale", role) for role in ("rationale", "examples", "val", "test", "drawn")}
    | {("test", "drawn"), ("drawn", "drawn"), ("drawn", "task"), ("examples", "examples")}
)
"""Nothing to learn: calibration rows are the teachers' own, a rationale says its question, and
what is drawn from the test part is of the test part."""
REPORTED = {
    ("train", "examples"), ("calibration", "examples"), ("examples", "val"), ("examples", "test"),
    ("examples", "drawn"), ("test", "task"), ("task", "task"),
}  # fmt: skip
"""Never refused: few-shot examples come from public train sets, as the split may, and two
benchmarks may overlap. Nor are duplicates within a set."""
MAX_SHOWN = 20
"""Hits listed a pair; all are counted."""
MAX_SHARED = 40
"""Tokens of a shared run that are shown."""
WITHHELD = "(withheld: its authors ask that it not be shown)"
METHODS = {
    "exact": {"equal": "letters and digits, operators in doubt"},
    "ngram": {
        "run_tokens_by_shorter_text": [list(seed[:2]) for seed in overlap.SEEDS],
        "words": overlap.WORDS,
        "trigrams": overlap.TRIGRAMS,
        "numbers": overlap.NUMBERS,
        "or_13_grams": overlap.LONG_RUNS,
    },
}
"""Each with its threshold, as reported; `overlap` says what they mean."""


@dataclass(frozen=True)
class Document:
    """What is compared: a question, with its options where it has them."""

    id: str
    text: str


@dataclass(frozen=True)
class Documents:
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

    def __call__(self, sets: Sequence[Documents]) -> dict[str, Any]:
        """The report's `verdict` ("clean" or "leak"), `pairs` and `tainted`.

        `tainted` are the ids of held-out items found in training, allowed or only reported ones
        too, by set; the scores on the others are those of the clean subset.
        """
        pairs: list[dict[str, Any]] = []
        tainted: dict[str, set[str]] = {each.name: set() for each in sets if _held_out(each)}
        for one, other, matches in self._compared(sets):
            pairs.append(self._entry(one, other, *matches))
            if one.role in TAUGHT and other.name in tainted:
                tainted[other.name] |= {other.documents[match.second].id for match in matches[2]}
        return {
            "verdict": "leak" if any(pair["verdict"] == "leak" for pair in pairs) else "clean",
            "pairs": pairs,
            "tainted": {name: sorted(ids) for name, ids in tainted.items()},
        }

    def near_copies(self, sets: Sequence[Documents]) -> dict[str, dict[str, str]]:
        """By set, the ids that are near copies of an item in a later set, with that item's id."""
        found: dict[str, dict[str, str]] = {each.name: {} for each in sets}
        for one, other, (method, _, matches) in self._compared(sets):
            if method == "ngram" and one is not other:
                for first, second in self._ids(one, other, matches):
                    if not self._allowed(first, second):
                        found[one.name].setdefault(first, second)
        return found

    def _compared(
        self, sets: Sequence[Documents]
    ) -> Iterator[tuple[Documents, Documents, tuple[str, float, list[Match]]]]:
        """Every pair that is worth comparing, once a method, with the seconds it took."""
        vocabulary = Vocabulary()
        ordered = sorted(sets, key=lambda each: ROLES.index(each.role))
        corpora = [Corpus([d.text for d in each.documents], vocabulary) for each in ordered]
        numbers = np.array([any(c.isdigit() for c in token) for token in vocabulary.ids], bool)
        for (one, left), (other, right) in combinations_with_replacement(
            zip(ordered, corpora, strict=True), 2
        ):
            if (one.role, other.role) in SKIPPED:
                continue
            start = time.perf_counter()
            matches = equal(left, right)
            yield one, other, ("exact", time.perf_counter() - start, matches)
            start = time.perf_counter()
            matches = overlapping(left, right, numbers)
            yield one, other, ("ngram", time.perf_counter() - start, matches)

    def _entry(
        self, one: Documents, other: Documents, method: str, seconds: float, matches: list[Match]
    ) -> dict[str, Any]:
        left = [
            match
            for match, ids in zip(matches, self._ids(one, other, matches), strict=True)
            if not self._allowed(*ids)
        ]
        blocking = self._blocks(one, other, method)
        return {
            "first": one.name,
            "second": other.name,
            "method": method,
            "threshold": METHODS[method],
            "blocking": blocking,
            "checked": len(other.documents),
            "hits": len(left),
            "allowed": len(matches) - len(left),
            "rate": len({match.second for match in left}) / max(1, len(other.documents)),
            "shown": [_shown(one, other, match) for match in left[:MAX_SHOWN]],
            "verdict": "clean" if not left else "leak" if blocking else "reported",
            "elapsed_s": round(seconds, 3),
        }

    def _blocks(self, one: Documents, other: Documents, method: str) -> bool:
        if one is other or (one.role, other.role) in REPORTED:
            return False
        own = one.role in OWN and other.role in OWN
        return method == "exact" or not own or self.near != "report"

    def _allowed(self, first: str, second: str) -> bool:
        return any({first, second} == {entry["first"], entry["second"]} for entry in self.allow)

    def _ids(
        self, one: Documents, other: Documents, matches: Sequence[Match]
    ) -> list[tuple[str, str]]:
        return [
            (one.documents[match.first].id, other.documents[match.second].id) for match in matches
        ]


def _held_out(each: Documents) -> bool:
    return each.role in ("val", "test", "drawn", "task")


def _shown(one: Documents, other: Documents, match: Match) -> dict[str, Any]:
    first, second = one.documents[match.first], other.documents[match.second]
    left, right = tokens(first.text), tokens(second.text)
    run = SequenceMatcher(None, left, right, autojunk=False).find_longest_match()
    return {
        "first": first.id,
        "second": second.id,
        "how": match.method,
        "score": round(match.score, 3),
        "shared": WITHHELD
        if one.private or other.private
        else " ".join(left[run.a : run.a + min(run.size, MAX_SHARED)]),
    }


def refusal(pairs: Sequence[Mapping[str, Any]]) -> str:
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
