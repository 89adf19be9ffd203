"""A study's records in memory: questions of arms, arms of runs, runs of scored tasks.

Scores are in [0, 1] here; points (hundredths) appear only where something is shown.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np

from kvdistill.history import History
from kvdistill.plan.code.accepted import AcceptedCode
from kvdistill.plan.code.fingerprint import (
    CodeFingerprint,
    Versions,
    compare_codes,
    name_changes,
)
from kvdistill.plan.sweep import VIEWS
from kvdistill.plan.tuning.record import Tuning

EQUAL_STEPS, EQUAL_FLOPS, EQUAL_TIME = VIEWS
"""In what two arms may be equal: a question is about one of them."""
REFERENCE_DECLARES = ("student", "trained")
"""What a teacher that is evaluated as it is says of itself: it stands in the student's place."""
MACRO = "macro"
"""The endpoint beside the tasks: the unweighted mean of the task scores."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ItemSet:
    """The items of one task, sorted by id; shared by all runs that answered exactly these."""

    task: str
    digest: str
    """Of every (item, document hash, prompt hash): equal digests prove that arms are paired."""
    ids: np.ndarray
    documents: np.ndarray
    prompts: np.ndarray
    subjects: np.ndarray | None
    """A code an item where items share context (BBH subtask, CMMLU subject), else None."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """One task of one run."""

    task: str
    metric: str
    score: float
    chance: float
    n: int
    unparsed: float
    truncated: float
    empty: float
    marked: float | None = None
    """Share of written answers with the mark that the task's prompts show; None where it has none.
    """
    alternative: float | None = None
    """The score under the task's other extractor."""
    disagree: float | None = None
    """Share of items on which the two extractors differ."""
    by_subject: float | None = None
    """Each subject counting alike, where `score` has each item count alike."""
    normalised: float | None = None
    """0 at chance, 1 at all right, averaged over subjects."""
    subjects: int = 1
    tainted: int | None = None
    """Items found in the training texts; None where that was not checked."""
    clean: float | None = None
    """The score over the other items; None where there are none, or that was not checked."""
    correct: np.ndarray | None = None
    """float32, in the order of `items`; None where the run kept no items."""
    items: ItemSet | None = None


@dataclass(kw_only=True, eq=False)
class Run:
    """One arm with one seed."""

    identity: str
    folder: Path
    arm: str
    seed: int
    trained: bool
    recipe: str = ""
    state: str = "done"
    """done, or what status.json says: queued, running, failed, missing."""
    error: str = ""
    """Why it failed, as status.json says; empty of every other run."""
    scores: Mapping[str, Scores] = field(default_factory=dict)
    unscored_tasks: Sequence[str] = ()
    """Tasks that could not be scored."""
    outside_macro: Sequence[str] = ()
    """Tasks scored outside the macro average."""
    efficiency: Mapping[str, Any] = field(default_factory=dict)
    generalisation: Mapping[str, Any] = field(default_factory=dict)
    """`gap` (training questions minus held-out ones) and `spread` over tasks, as shares."""
    counterparts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Task -> what lm-eval's own task of its benchmark gave, of a model that is scored as it is."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    """As it was frozen before the run began; empty of an unfinished run without a readable one."""
    foretold: Mapping[str, Any] = field(default_factory=dict)
    """What its plan foretold of its training: peak_bytes, step_flops, step_s and kind."""

    @cached_property
    def code(self) -> CodeFingerprint | None:
        """The code that made it; None where that was before code was recorded."""
        return CodeFingerprint.from_json(self.manifest.get("code"))

    @property
    def budget(self) -> Mapping[str, Any]:
        """What it spent, as its own ledger has it; empty where nothing was trained."""
        return (self.manifest.get("ledger") or {}) if self.trained else {}

    @property
    def done(self) -> bool:
        """Whether its records are complete on disk."""
        return self.state == "done"

    @cached_property
    def fingerprint(self) -> str:
        """Equal for runs that gave the same answers to the same items: one run, copied."""
        if any(scores.correct is None for scores in self.scores.values()):
            return self.identity
        digest = hashlib.sha256()
        for task, scores in sorted(self.scores.items()):
            assert scores.correct is not None
            assert scores.items is not None
            digest.update(f"{task}\0{scores.items.digest}\0".encode())
            digest.update(scores.correct.tobytes())
        return digest.hexdigest() if self.scores else self.identity

    def get_score(self, endpoint: str, tasks: Sequence[str]) -> float | None:
        """The score of a task, or the macro average; None where any part is missing."""
        if endpoint != MACRO:
            return self.scores[endpoint].score if endpoint in self.scores else None
        if not tasks or any(task not in self.scores for task in tasks):
            return None
        return float(np.mean([self.scores[task].score for task in tasks]))

    def get_clean_average(self, tasks: Sequence[str]) -> float | None:
        """The macro average over items that no training text holds; None where a task has none."""
        values = [self.scores[task].clean if task in self.scores else None for task in tasks]
        known = [value for value in values if value is not None]
        return float(np.mean(known)) if known and len(known) == len(values) else None


@dataclass(kw_only=True, eq=False)
class Arm:
    """One way of training, under each of its seeds."""

    label: str
    runs: Mapping[int, Run]
    labels: Sequence[str] = ()
    """What each question calls it, of an arm that `Study.distinct_arms` gives."""
    declared: Sequence[str] = ()
    """Dotted paths of what its question sets for it, and so says that it differs in."""
    trials: int = 1
    """Variants of its training that were tried before its study was last planned."""
    accepted_code: AcceptedCode = field(default_factory=AcceptedCode)
    """Versions of the code that its study takes for one."""

    @property
    def trained(self) -> bool:
        """False for the raw student and the teachers: one run, whatever the seed."""
        return any(run.trained for run in self.runs.values())

    def distinct_runs(self) -> list[Run]:
        """Its runs by seed, each copy once; an untrained arm is one run."""
        runs_by_fingerprint: dict[str, Run] = {}
        for _, run in sorted(self.runs.items()):
            runs_by_fingerprint.setdefault(run.fingerprint if run.done else run.identity, run)
        return list(runs_by_fingerprint.values())

    @cached_property
    def code_changes(self) -> Sequence[str]:
        """What of the code its runs were made by in several versions, none of them accepted."""
        codes = {run.identity: run.code for run in self.runs.values() if run.done}
        changes: Versions = {}
        # Each with itself too: a run that other code began has two versions in itself.
        for one, other in combinations_with_replacement(codes.values(), 2):
            for name, versions in compare_codes(one, other, same_recipe=True).items():
                changes.setdefault(name, set()).update(versions)
        return [] if self.accepted_code.covers(changes) else sorted(changes)

    def list_gaps(self, endpoint: str, tasks: Sequence[str]) -> list[str]:
        """What keeps the endpoint from being known, by name."""
        gaps_by_run: dict[str, str] = {}
        for seed, run in sorted(self.runs.items()):
            name = f"seed {seed}" if self.trained else "its run"
            if not run.done:
                gaps_by_run[run.identity] = f"{name} ({run.state})"
            elif run.get_score(endpoint, tasks) is None:
                missing_tasks = (
                    [endpoint] if endpoint != MACRO else [t for t in tasks if t not in run.scores]
                )
                gaps_by_run[run.identity] = f"{name} (no {', '.join(missing_tasks)})"
        # A mean over runs that differ in more than their seed is no arm's.
        mixed = name_changes(self.code_changes, shown=2)
        return [*gaps_by_run.values(), *([f"one code for all runs: {mixed}"] if mixed else [])]


@dataclass(frozen=True, kw_only=True, eq=False)
class WithdrawnArm:
    """An arm, or runs of one, that the study does not compare; its reason stands in the report."""

    question: str
    """Empty for a teacher that was evaluated as it is."""
    label: str
    runs: Sequence[Run]
    reason: str
    time: str
    """UTC, ISO 8601."""
    whole: bool
    """Whether the arm was withdrawn, and not one run of it."""
    planned_again: bool
    """Whether its label, or the run, has been planned since."""


@dataclass(kw_only=True, eq=False)
class QuestionRecords:
    """One sweep: arms, and how the answer is judged."""

    name: str
    text: str
    arms: Mapping[str, Arm]
    primary: Mapping[str, Any] | None = None
    named_baseline: str | None = None
    """The arm that a command without a sweep named as baseline (`baseline=`)."""
    hypotheses: Sequence[Mapping[str, Any]] = ()
    criteria: Sequence[Mapping[str, Any]] = ()
    figure: str | None = None
    """The ablation figure it asks for, by kind."""
    match: str = EQUAL_STEPS
    """In what its arms are equal: steps, flops or time."""
    matched: Mapping[str, str] = field(default_factory=dict)
    """Arm -> the arm whose FLOPs its steps were worked out from."""
    differs: Sequence[str] = ()
    """What else its arms may differ in, beyond what they and the axes set."""
    accepted_code: AcceptedCode = field(default_factory=AcceptedCode)
    """Versions of modules that the user takes for one."""
    tuning: Tuning | None = None
    """How its arms were tuned before they were confirmed, where they were."""

    @property
    def baseline(self) -> str:
        """The arm the others are compared with: the primary endpoint's, the named, else the first.

        Empty where every arm was withdrawn.
        """
        label = (self.primary or {}).get("baseline", self.named_baseline)
        return str(label) if label in self.arms else next(iter(self.arms), "")


@dataclass(kw_only=True, eq=False)
class Study:
    """Everything the statistics and the report read."""

    name: str
    folders: Sequence[Path]
    tasks: Sequence[str]
    questions: Mapping[str, QuestionRecords]
    runs: Mapping[str, Run]
    """By identity."""
    references: Mapping[str, Run]
    """Teachers, each evaluated once as it is."""
    budgets: Sequence[Mapping[str, Any]] = ()
    validations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Study name -> validation_report.json."""
    commands: Sequence[str] = ()
    """What was typed to make it, in that order."""
    problems: Sequence[str] = ()
    """What on disk contradicts itself, one sentence each."""
    history: History = field(default_factory=History)
    """The record of its root, of which other studies are part too."""
    withdrawn: Sequence[WithdrawnArm] = ()
    """In the order in which they were; runs that are read elsewhere too stand in `runs`."""

    def distinct_arms(self) -> dict[str, Arm]:
        """Every distinct arm of all questions, by all its labels.

        A label under which another question has other runs is named with its question.
        """
        arms_by_runs: dict[frozenset[str], list[tuple[str, Arm]]] = {}
        runs_by_label: dict[str, set[frozenset[str]]] = {}
        for question in self.questions.values():
            for label, arm in question.arms.items():
                key = frozenset(run.identity for run in arm.runs.values())
                arms_by_runs.setdefault(key, []).append((question.name, arm))
                runs_by_label.setdefault(label, set()).add(key)
        distinct: dict[str, Arm] = {}
        for alike in arms_by_runs.values():
            names = dict.fromkeys(
                arm.label if len(runs_by_label[arm.label]) == 1 else f"{question}: {arm.label}"
                for question, arm in alike
            )
            label = ", ".join(names)
            declared = dict.fromkeys(path for _, arm in alike for path in arm.declared)
            distinct[label] = Arm(
                label=label,
                runs=alike[0][1].runs,
                labels=list(names),
                declared=list(declared),
                trials=alike[0][1].trials,
                accepted_code=alike[0][1].accepted_code,
            )
        return distinct
