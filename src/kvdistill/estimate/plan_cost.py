"""A plan's runs by arm with what each costs, and what they share: priced once for all tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate, read_group
from kvdistill.estimate import run_cost
from kvdistill.estimate.answers_cost import estimate_answers, estimate_own_writing
from kvdistill.estimate.run_cost import Cost
from kvdistill.geometry import Geometry
from kvdistill.plan import flops
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.study_plan import walk_arms


@dataclass(frozen=True)
class PricedArm:
    """Runs of one recipe."""

    label: str
    runs: Sequence[PlannedRun]
    run_cost: Cost

    @property
    def config(self) -> Config:
        """Of its first run."""
        return self.runs[0].config


def group_by_recipe(plan: Plan, estimate: Estimate) -> list[PricedArm]:
    """The plan's runs by recipe, each under every label that asks for it."""
    questions: dict[str, dict[str, dict[str, None]]] = {}  # recipe -> label -> who calls it so
    for question, label, identity in walk_arms(plan.questions):
        names = questions.setdefault(plan.runs[identity].recipe, {})
        names.setdefault(label, {})[question] = None
    labels = {
        recipe: ", ".join(f"{label} ({', '.join(by)})" for label, by in names.items())
        for recipe, names in questions.items()
    }
    for name, identity in plan.references.items():
        labels.setdefault(plan.runs[identity].recipe, f"teacher {name}")
    by_recipe: dict[str, list[PlannedRun]] = {}
    for run in plan.runs.values():
        by_recipe.setdefault(run.recipe, []).append(run)
    return [
        PricedArm(
            labels[runs[0].recipe],
            runs,
            run_cost.estimate_run(runs[0].config, runs[0].steps, estimate)
            + estimate_own_writing(runs[0].config, runs[0].steps, estimate),
        )
        for runs in by_recipe.values()
    ]


def artifact_cost(plan: Plan) -> Cost:
    """Training the teachers that the project makes itself, filling stores, and writing answers."""
    cost = Cost()
    for node in plan.artifacts.values():
        training = (node.recipe.get("model") or {}).get("build", {}).get("training")
        # Only what the project trains itself costs anything; pretrained weights are read.
        if training:
            budget = read_group("budget", plan.config["budget"])
            tokens = training["steps"] * training["batch_size"] * budget.seq_len
            load = flops.TokenLoad.nominal(tokens, budget.seq_len)
            cost += Cost(
                teachers=flops.training_flops(Geometry.from_node(node.recipe["model"]), load)
            )
    for config, teacher in list_stores(plan).values():
        cost += run_cost.estimate_store(config, teacher)
    for config, teacher in list_teacher_artifacts(plan, "states").values():
        cost += run_cost.estimate_states(config, teacher)
    estimate = read_group("estimate", plan.config["estimate"])
    for config, teacher in list_teacher_artifacts(plan, "answers").values():
        cost += estimate_answers(config, teacher, estimate)
    return cost


def list_stores(plan: Plan) -> dict[str, tuple[Config, Mapping[str, Any]]]:
    """The plan's stores: name -> a run that reads it, and its teacher."""
    return list_teacher_artifacts(plan, "kv")


def list_teacher_artifacts(plan: Plan, kind: str) -> dict[str, tuple[Config, Mapping[str, Any]]]:
    """The artefacts of a kind that has one a teacher: name -> a run that reads it, its teacher."""
    return {
        run.node.needs[f"{kind}.{role}"]: (run.config, teacher)
        for run in plan.runs.values()
        for role, teacher in run.config["teachers"].items()
        if f"{kind}.{role}" in run.node.needs
    }


def format_bytes(size: int) -> str:
    """Bytes in GiB, MiB where small."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
