"""plan.json: what a study asks, with which runs, and where each run lies."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.errors import ArtifactError
from kvdistill.files import read_json, write_json
from kvdistill.plan.tuning.record import Tuning
from kvdistill.records import SCHEMA_VERSION

Arms = dict[str, dict[str, str]]
"""Label -> seed (as text, since JSON's keys are) -> identity of the run."""


@dataclass
class Question:
    """One question of a study."""

    text: str
    judging: dict[str, Any] = field(default_factory=dict)
    """hypotheses, criteria, primary, figure, match and differs, as the sweep's file has them.

    Of a command without a sweep: baseline, the label of the arm that it names (`baseline=`).
    """
    arms: Arms = field(default_factory=dict)
    declared: dict[str, list[str]] = field(default_factory=dict)
    """Label -> dotted paths of what the question sets for that arm."""
    matched: dict[str, str] = field(default_factory=dict)
    """Label -> the arm from whose FLOPs its steps were worked out."""

    @classmethod
    def from_json(cls, node: Mapping[str, Any]) -> "Question":
        """As plan.json has it: the text, what judges it, and the arms, side by side."""
        own = ("question", "arms", "declared", "matched")
        judging = {key: value for key, value in node.items() if key not in own}
        return cls(
            node["question"], judging, node["arms"], node.get("declared", {}),
            node.get("matched", {}),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The same way back."""
        known = {"declared": self.declared, "matched": self.matched}
        node = {"question": self.text, **self.judging, "arms": self.arms}
        return node | {key: value for key, value in known.items() if value}

    def identities(self) -> list[str]:
        """Every run that the question reads, once a label."""
        return [i for seeds in self.arms.values() for i in dict.fromkeys(seeds.values())]


@dataclass(frozen=True)
class RunEntry:
    """What plan.json holds of a run; the rest lies in its folder."""

    folder: str
    """Below the root: another study of the root may have finished the run first."""
    arm: str
    seed: int
    recipe: str
    """The identity without the seed."""
    trained: bool
    steps: int
    """Unified optimiser steps; 0 where nothing is trained."""
    code: str = ""
    """Fingerprint of the code it was last planned with, which may not be what made it; empty where
    that was before code was recorded."""
    foretold: dict[str, Any] = field(default_factory=dict)
    """What its training was to take, as plan/resources/foretold.py has it; empty where nothing is
    trained."""


@dataclass(frozen=True)
class Withdrawal:
    """An arm, or one run of it, that a study no longer compares. All of it stays on disk."""

    question: str
    """Empty for a teacher that was evaluated as it is."""
    label: str
    runs: dict[str, str]
    """Seed -> identity of what stood under the label."""
    reason: str
    time: str
    """UTC, ISO 8601."""
    run: str | None = None
    """The identity, where a run was withdrawn and not the arm."""

    @property
    def name(self) -> str:
        """`LABEL`, or `LABEL seed N` of an arm that goes on without the run."""
        return self.label if self.run is None else f"{self.label} seed {', '.join(self.runs)}"


@dataclass
class StudyPlan:
    """A study's plan.json."""

    study: str
    commands: list[str] = field(default_factory=list)
    """As they were typed, without repetition."""
    questions: dict[str, Question] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    """Teacher name -> identity of the run that evaluates it as it is."""
    runs: dict[str, RunEntry] = field(default_factory=dict)
    """By identity."""
    withdrawn: list[Withdrawal] = field(default_factory=list)
    """In the order in which they were; what was planned again since stands in its question too."""
    accepted_code: list[dict[str, Any]] = field(default_factory=list)
    """What `code=accept` has accepted, command by command: plan/code/accepted.py."""
    tunings: dict[str, Tuning] = field(default_factory=dict)
    """By question: the trials of its arms, and the winners once they are chosen."""
    trials: dict[str, RunEntry] = field(default_factory=dict)
    """By identity: runs that were trained for a tuning, and that no question reads."""

    @classmethod
    def read(cls, study: Path) -> "StudyPlan":
        """Of a study's folder. Raises ArtifactError for a file that is missing or no plan."""
        return cls.from_json(read_json(study / layout.PLAN), study)

    @classmethod
    def from_json(cls, node: Mapping[str, Any], study: Path) -> "StudyPlan":
        """Of what a study's plan.json holds. Raises ArtifactError for what is no plan."""
        try:
            return cls(
                study=node["study"],
                commands=node.get("commands", []),
                questions={name: Question.from_json(q) for name, q in node["questions"].items()},
                references=node.get("references", {}),
                runs={identity: RunEntry(**entry) for identity, entry in node["runs"].items()},
                withdrawn=[Withdrawal(**entry) for entry in node.get("withdrawn", [])],
                accepted_code=node.get("accepted_code", []),
                tunings={n: Tuning.from_json(t) for n, t in node.get("tunings", {}).items()},
                trials={i: RunEntry(**entry) for i, entry in node.get("trials", {}).items()},
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{study / layout.PLAN} is no plan: {type(error).__name__}: {error}. "
                f"Delete it and repeat the commands of the study."
            ) from error

    def write(self, study: Path) -> None:
        """In one step: a reader sees the old plan or the new."""
        node = {
            "schema_version": SCHEMA_VERSION,
            "study": self.study,
            "commands": self.commands,
            "questions": {name: question.to_json() for name, question in self.questions.items()},
            "references": self.references,
            "runs": {identity: asdict(entry) for identity, entry in self.runs.items()},
            "withdrawn": [asdict(entry) for entry in self.withdrawn],
            "accepted_code": self.accepted_code,
        }
        tuned = {
            "tunings": {name: tuning.to_json() for name, tuning in self.tunings.items()},
            "trials": {identity: asdict(entry) for identity, entry in self.trials.items()},
        }
        node |= {key: value for key, value in tuned.items() if value}
        write_json(study / layout.PLAN, node)

    def labels(self) -> dict[str, str]:
        """Identity -> how tables name the run: every label under which a question reads it.

        Runs that stand in no question, such as references, have none.
        """
        return {i: ", ".join(names) for i, names in collect_labels(self.questions).items()}

    def name_trials(self) -> dict[str, str]:
        """Identity -> how tables name a trial."""
        names: dict[str, str] = {}
        for tuning in self.tunings.values():
            names |= tuning.name_trials()
        return names

    def list_withdrawn_runs(self) -> dict[str, Withdrawal]:
        """Identity -> its last withdrawal, of each run that nothing reads any more."""
        used = {*self.labels(), *self.references.values()}
        runs = {i: entry for entry in self.withdrawn for i in entry.runs.values()}
        return {identity: entry for identity, entry in runs.items() if identity not in used}

    def reference_names(self) -> dict[str, str]:
        """Identity -> `reference NAME` of the teachers evaluated as they are."""
        return {identity: f"reference {name}" for name, identity in self.references.items()}


def collect_labels(questions: Mapping[str, Question]) -> dict[str, list[str]]:
    """Identity -> its labels, in the questions' order and each once."""
    labels: dict[str, list[str]] = {}
    for _, label, identity in walk_arms(questions):
        names = labels.setdefault(identity, [])
        if label not in names:
            names.append(label)
    return labels


def walk_arms(questions: Mapping[str, Question]) -> Iterator[tuple[str, str, str]]:
    """(question, label, identity) of every run that a question reads."""
    for name, question in questions.items():
        for label, seeds in question.arms.items():
            for identity in dict.fromkeys(seeds.values()):
                yield name, label, identity
