"""What the runs of two arms recorded otherwise: texts, tokens, parameters, code, machine."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kvdistill.plan.code.accepted import AcceptedCode
from kvdistill.plan.code.fingerprint import (
    UNKNOWN_CODE,
    Versions,
    compare_codes,
    name_changes,
)
from kvdistill.stats.differences.base import ANYTHING, ArmDifference
from kvdistill.stats.study import Run

NEAR = 0.01
"""Share by which counted amounts may differ and be called the same."""
SHOWN_MODULES = 3
KV_ROOMS = (
    "teachers", "source", "compression", "alignment", "projection", "layers", "position", "kv",
    "fusion", "loss",
)  # fmt: skip
READERS = ("data", "style", "student", "budget")
"""Settings that decide which texts are read, and how many tokens they have."""


@dataclass(frozen=True)
class RecordedFact:
    """A fact of a run that two arms should have in common."""

    name: str
    read: Callable[[Run], Any]
    follows: tuple[str, ...]
    """Settings whose declared difference explains another value."""
    amount: bool = False
    """Whether it is counted of what a seed drew: NEAR is near enough, and other seeds say nothing.
    """


def read_ledger(key: str) -> Callable[[Run], Any]:
    """The reader of one entry of a run's ledger."""
    return lambda run: run.budget.get(key)


def count_rows(run: Run) -> int | None:
    """Distinct texts of the training half, from how often they were read."""
    sequences, epochs = run.budget.get("sequences"), run.budget.get("epochs")
    return round(sequences / epochs) if sequences and epochs else None


def read_parameters(run: Run) -> int | None:
    """Of the model as it is used."""
    return run.efficiency.get("parameters")


def describe_packages(run: Run) -> str | None:
    """The versions of the libraries that compute."""
    packages = (run.manifest.get("provenance") or {}).get("packages")
    return ", ".join(f"{k} {v}" for k, v in sorted(packages.items())) if packages else None


def describe_processor(run: Run) -> str | None:
    """How many of which kind trained it; only timings depend on it."""
    device = run.budget.get("device")
    return f"{run.manifest.get('ranks', 1)} x {device}" if device else None


FACTS = (
    RecordedFact("texts", read_ledger("texts"), READERS),
    RecordedFact("rows", count_rows, READERS),
    RecordedFact("real tokens", read_ledger("real_tokens"), READERS, amount=True),
    RecordedFact("parameters", read_parameters, ("student", "adapter")),
    RecordedFact(
        "trained parameters", read_ledger("trained_parameters"), ("student", "adapter", *KV_ROOMS)
    ),
    RecordedFact("packages", describe_packages, ()),
    RecordedFact("processor", describe_processor, ()),
)  # fmt: skip
SHOWN_ONLY = ("packages",)
"""Named beside a comparison, and no reason against it."""
TIMING_ONLY = ("processor",)
"""A reason against a comparison of times alone."""


def compare_records(
    baseline: Sequence[Run], arm: Sequence[Run], declared: Sequence[str], changed: Sequence[str]
) -> Iterator[ArmDifference]:
    """Facts on which two arms disagree; their code is `compare_code`.

    `changed` are the settings, by their first part, in which they differ as declared: a fact that
    follows from one of them is declared with it.
    """
    for fact in FACTS:
        pairs = pair_by_seed(baseline, arm, drawn=fact.amount)
        values = [(fact.read(one), fact.read(other)) for one, other in pairs]
        if differing := [pair for pair in values if is_other(*pair, amount=fact.amount)]:
            yield ArmDifference(
                field=fact.name,
                values=(describe_fact(differing[0][0]), describe_fact(differing[0][1])),
                declared=bool({*fact.follows} & {*changed})
                or fact.name in declared or ANYTHING in declared,
            )  # fmt: skip


def pair_by_seed(
    baseline: Sequence[Run], arm: Sequence[Run], *, drawn: bool
) -> list[tuple[Run, Run]]:
    """The trained runs of both under each common seed; else the first of each, unless `drawn`."""
    sides = [{run.seed: run for run in runs} for runs in (baseline, arm)]
    seeds = sorted({*sides[0]} & {*sides[1]})
    if all(run.trained for run in (*baseline, *arm)) and seeds:
        return [(sides[0][seed], sides[1][seed]) for seed in seeds]
    return [] if drawn else [(baseline[0], arm[0])]


def is_other(one: Any, other: Any, *, amount: bool) -> bool:
    """Whether both are on record and differ."""
    if one is None or other is None:
        return False
    if amount:
        return bool(abs(one - other) > NEAR * max(abs(one), abs(other)))
    return bool(one != other)


def describe_fact(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def compare_code(
    baseline: Sequence[Run], arm: Sequence[Run], declared: Sequence[str], accepted: AcceptedCode
) -> Iterator[ArmDifference]:
    """The modules that both arms executed in more than one version; `accepted` are no difference.

    Two arms reach different modules, which is what they compare: only what both reach counts.
    """
    changes: Versions = {}
    for one in baseline:
        for other in arm:
            for name, versions in compare_codes(one.code, other.code).items():
                changes.setdefault(name, set()).update(versions)
    if changes:
        settled = accepted.covers(changes)
        note = f"other versions of {name_changes(changes, SHOWN_MODULES)}"
        note = UNKNOWN_CODE if UNKNOWN_CODE in changes else note
        yield ArmDifference(
            field="code",
            values=(name_code(baseline), name_code(arm)),
            # Not ANYTHING: whoever names arms one by one has not said that they ran other code.
            declared="code" in declared or settled,
            note=f"{note}, accepted with code=accept" if settled else note,
        )


def name_code(runs: Sequence[Run]) -> str:
    """The fingerprint of an arm's code, of its first run that has one."""
    return next((run.code.fingerprint for run in runs if run.code is not None), "unknown")
