"""What plan.json holds of a question's tuning: every trial, what it measured, and the choice."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kvdistill.files import seal

Measured = Mapping[str, float] | None
"""ce and exact_match of the last validation; None of a trial that diverged."""


@dataclass(frozen=True)
class Trial:
    """One point of an arm's grid, trained with every tuning seed."""

    settings: dict[str, Any]
    runs: dict[str, str]
    """Seed -> identity."""
    measured: dict[str, Measured] = field(default_factory=dict)
    """Seed -> what its validation said; empty until the choice is made."""


@dataclass(frozen=True)
class TunedArm:
    """An arm's trials in the order in which they were drawn."""

    arm: str
    """What its config calls it."""
    trials: list[Trial]
    left_out: dict[str, str] = field(default_factory=dict)
    """Setting of the grid that the arm cannot vary -> why."""
    winner: int | None = None
    """Place of the chosen trial; None until every trial has ended."""
    sha256: str = ""
    """Of design, rule, trials, what they measured, and the winner; empty until there is one."""

    @property
    def chosen(self) -> dict[str, Any] | None:
        """The winner's settings; None until there is one."""
        return None if self.winner is None else self.trials[self.winner].settings

    def without_choice(self) -> "TunedArm":
        """As it was planned."""
        trials = [replace(trial, measured={}) for trial in self.trials]
        return replace(self, trials=trials, winner=None, sha256="")


@dataclass(frozen=True)
class Tuning:
    """How one question's arms were tuned."""

    design: dict[str, Any]
    """trials, seeds, measure and draw, alike for all arms."""
    rule: str
    """Which trial wins, in words."""
    arms: dict[str, TunedArm]
    """By label of the question."""

    @classmethod
    def from_json(cls, node: Mapping[str, Any]) -> "Tuning":
        """As plan.json has it."""
        arms = {
            label: TunedArm(**{**arm, "trials": [Trial(**trial) for trial in arm["trials"]]})
            for label, arm in node["arms"].items()
        }
        return cls(dict(node["design"]), str(node["rule"]), arms)

    def to_json(self) -> dict[str, Any]:
        """The same way back."""
        return asdict(self)

    def hash_arm(self, arm: TunedArm) -> str:
        """Of all that led to an arm's winner, and of the winner."""
        node = {**asdict(arm), "sha256": "", "design": self.design, "rule": self.rule}
        return seal(node)

    def name_trials(self) -> dict[str, str]:
        """Identity -> `LABEL, trial 3 of 6`, of every run of every trial."""
        return {
            identity: f"{label}, trial {number} of {len(arm.trials)}"
            for label, arm in self.arms.items()
            for number, trial in enumerate(arm.trials, start=1)
            for identity in trial.runs.values()
        }
