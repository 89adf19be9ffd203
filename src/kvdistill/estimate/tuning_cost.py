"""What the trials of a tuning would cost: training alone, since no trial is scored."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rich.table import Table

from kvdistill.config.schema import Estimate
from kvdistill.estimate.plan_cost import artifact_cost
from kvdistill.estimate.run_cost import Cost, estimate_run
from kvdistill.plan.command_plan import Plan


@dataclass(frozen=True)
class TrialCosts:
    """Of one arm's trials."""

    label: str
    trials: int
    seeds: int
    steps: int
    each: Cost
    """Of one trial with one seed: they differ in settings, and take the same steps."""

    @property
    def total(self) -> Cost:
        """Of all of them."""
        return sum((self.each for _ in range(self.trials * self.seeds)), Cost())


def price_trials(plan: Plan, estimate: Estimate) -> Iterator[TrialCosts]:
    """The trials of each arm of a plan of trials."""
    for question, tuning in plan.tunings.items():
        for label, arm in tuning.arms.items():
            run = plan.runs[next(iter(arm.trials[0].runs.values()))]
            cost = estimate_run(run.config, run.steps, estimate)
            unscored = replace(cost, evaluation=0, decoded_bytes=0, launch_s=0.0)
            seeds = len(tuning.design["seeds"])
            yield TrialCosts(f"{question}: {label}", len(arm.trials), seeds, run.steps, unscored)


def tabulate_trial_costs(plan: Plan, estimate: Estimate) -> Table:
    """A row an arm, and all of them below."""
    table = Table(
        "arm", "trials", "seeds", "steps", "student FLOPs", "teacher FLOPs",
        f"hours of {estimate.kind} a trial and seed", "of all",
        title="Tuning costs before anything is confirmed, and scores nothing",
    )  # fmt: skip
    total = Cost()
    for arm in price_trials(plan, estimate):
        numbers = (arm.total.student, arm.total.teachers)
        table.add_row(
            arm.label, str(arm.trials), str(arm.seeds), str(arm.steps),
            *(f"{number:.3g}" if number else "none" for number in numbers),
            f"{arm.each.hours(estimate.gpu, estimate):.3g}",
            f"{arm.total.hours(estimate.gpu, estimate):.3g}",
        )  # fmt: skip
        total += arm.total
    shared = artifact_cost(plan).hours(estimate.gpu, estimate)
    table.caption = (
        f"{total.hours(estimate.gpu, estimate):.3g} hours in all, with what they read "
        f"{total.hours(estimate.gpu, estimate) + shared:.3g}"
    )
    return table
