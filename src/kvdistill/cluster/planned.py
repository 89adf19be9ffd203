"""stage=plan: what a command would do and cost, and what is doubtful about it. Computes nothing."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from kvdistill.cluster import cost
from kvdistill.cluster.cost import Cost
from kvdistill.config.compose import Config
from kvdistill.config.estimate import Estimate
from kvdistill.config.schema import typed
from kvdistill.plan import flops
from kvdistill.plan.budget import global_batch
from kvdistill.plan.expand import Plan, Run
from kvdistill.stats.power import detectable

WEEK_H = 7 * 24
STUDY_WEEKS = (3, 4)
"""What STUDY.md G.2 allows the whole study."""
FEWEST_SEEDS = 3
LARGEST_DEVIATION = 0.01
"""Of the steps' tokens from budget.total_tokens (STUDY.md A1)."""


@dataclass(frozen=True)
class Arm:
    """Runs of one recipe."""

    label: str
    runs: Sequence[Run]
    each: Cost

    @property
    def config(self) -> Config:
        """Of its first run."""
        return self.runs[0].config


def show(plan: Plan, console: Console) -> None:
    """Everything, table by table."""
    estimate = typed("estimate", plan.config["estimate"])
    arms = grouped(plan, estimate)
    console.print(counted(plan))
    console.print(costs(arms, estimate))
    total = sum((arm.each for arm in arms for _ in arm.runs), built(plan))
    console.print(totals(plan, total, estimate))
    for line in facts(plan, arms, total, estimate):
        console.print(line)
    for line in warnings(plan, arms, estimate):
        console.print(f"[yellow]warning:[/] {line}")


def grouped(plan: Plan, estimate: Estimate) -> list[Arm]:
    """The plan's runs by recipe, each under the first label that asks for it."""
    labels: dict[str, str] = {}
    for name, question in plan.questions.items():
        for label, seeds in question["arms"].items():
            for identity in seeds.values():
                labels.setdefault(identity, f"{label} ({name})")
    for name, identity in plan.references.items():
        labels.setdefault(identity, f"teacher {name}")
    by_recipe: dict[str, list[Run]] = {}
    for run in plan.runs.values():
        by_recipe.setdefault(run.recipe, []).append(run)
    return [
        Arm(labels[runs[0].identity], runs, cost.of_run(runs[0].config, runs[0].steps, estimate))
        for runs in by_recipe.values()
    ]


def counted(plan: Plan) -> str:
    """Runs before and after sharing, and the shared artefacts."""
    asked = [
        identity
        for question in plan.questions.values()
        for seeds in question["arms"].values()
        for identity in dict.fromkeys(seeds.values())
    ]
    kinds = [node.kind for node in plan.artifacts.values()]
    artifacts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    return (
        f"{len(plan.questions)} questions ask for {len(asked)} runs; {len(set(asked))} after "
        f"sharing, and {len(plan.runs) - len(set(asked))} teachers evaluated as they are. "
        f"Shared artefacts: {artifacts}."
    )


def costs(arms: Sequence[Arm], estimate: Estimate) -> Table:
    """A row an arm, for one of its runs."""
    table = Table(
        "arm", "seeds", "steps", "tokens", "student FLOPs", "teacher FLOPs", "evaluation FLOPs",
        f"hours of {estimate.kind}",
        title="Each run costs",
    )  # fmt: skip
    for arm in arms:
        each, steps = arm.each, arm.runs[0].steps
        numbers = (each.tokens, each.student, each.teachers, each.evaluation)
        table.add_row(
            arm.label,
            str(len(arm.runs)),
            str(steps or "none"),
            *(f"{number:.3g}" if number else "none" for number in numbers),
            f"{each.hours(estimate.gpu, estimate):.3g}",
        )
    return table


def built(plan: Plan) -> Cost:
    """Training the teachers that the project makes itself, and filling stores."""
    found = Cost()
    for node in plan.artifacts.values():
        training = (node.recipe.get("model") or {}).get("build", {}).get("training")
        if training:
            budget = typed("budget", plan.config["budget"])
            tokens = training["steps"] * training["batch_size"] * budget.seq_len
            load = flops.Load.nominal(tokens, budget.seq_len)
            found += Cost(teachers=flops.training(cost.geometry(node.recipe["model"]), load))
    for config, teacher in stores(plan).values():
        found += cost.of_store(config, teacher)
    return found


def stores(plan: Plan) -> dict[str, tuple[Config, Mapping[str, Any]]]:
    """The plan's stores: name -> a run that reads it, and its teacher."""
    return {
        run.node.needs[f"kv.{role}"]: (run.config, teacher)
        for run in plan.runs.values()
        for role, teacher in run.config["teachers"].items()
        if f"kv.{role}" in run.node.needs
    }


def totals(plan: Plan, total: Cost, estimate: Estimate) -> Table:
    """Hours of every kind, and what they mean in weeks."""
    gpus = gpus_a_run(plan)
    table = Table(
        "kind", "peak TFLOP/s", "hours", f"weeks on {gpus}", f"needed for {STUDY_WEEKS[1]} weeks",
        title=f"All of it: {total.student:.3g} student, {total.teachers:.3g} teacher and "
        f"{total.evaluation:.3g} evaluation FLOPs",
        caption=f"at {estimate.utilisation:.0%} of the peak, {estimate.evaluation_utilisation:.0%} "
        "when answers are generated",
    )  # fmt: skip
    for name, gpu in estimate.gpus.items():
        if gpu.memory_gib is None and name != estimate.kind:
            continue  # a CPU, at a scale that needs GPUs
        hours = total.hours(gpu, estimate)
        needed = max(1, -int(-hours // (STUDY_WEEKS[1] * WEEK_H)))
        weeks = f"{hours / gpus / WEEK_H:.3g}"
        table.add_row(name, f"{gpu.peak_tflops:g}", f"{hours:.4g}", weeks, str(needed))
    return table


def gpus_a_run(plan: Plan) -> int:
    """The largest run's."""
    return max(run.config["budget"]["num_gpus"] for run in plan.runs.values())


def facts(plan: Plan, arms: Sequence[Arm], total: Cost, estimate: Estimate) -> Iterator[str]:
    """Wall time, the study's own reckoning, the store, what could be detected."""
    runs = [
        arm.each.hours(estimate.gpu, estimate) / arm.config["budget"]["num_gpus"]
        + estimate.overhead_s / 3600
        for arm in arms
        for _ in arm.runs
    ]
    at_once = jobs_at_once(plan.config)
    first = built(plan).hours(estimate.gpu, estimate) / at_once
    wall = cost.wall_hours(runs, at_once) + first
    yield (
        f"Wall time on cluster={plan.config['cluster']['name']}, {at_once} jobs at a time: about "
        f"{told(wall)}, with {estimate.overhead_s:g} s a job beside computing; no queueing."
    )
    hours = total.hours(estimate.gpu, estimate)
    if hours > 1 and estimate.gpu.memory_gib is not None:
        weeks = hours / gpus_a_run(plan) / WEEK_H
        low, high = STUDY_WEEKS
        verdict = "within" if weeks <= high else "beyond"
        yield (
            f"The study reckons with {low} to {high} weeks (STUDY.md G.2): on {gpus_a_run(plan)} x "
            f"{estimate.kind} without a pause it is {weeks:.1f} weeks, {verdict} that."
        )
    yield from room(plan, arms)
    yield from effects(plan, estimate)


def room(plan: Plan, arms: Sequence[Arm]) -> Iterator[str]:
    """What stores hold, or would hold, and what there is."""
    free = gib(cost.free_bytes(plan.root))
    if found := stores(plan):
        whole = sum(cost.store_bytes(*each) for each in found.values())
        yield f"{len(found)} KV stores hold at most {gib(whole)}; {free} are free."
        return
    sizes: dict[str, int] = {}
    for arm in arms:
        for teacher in arm.config["teachers"].values() if arm.config["trained"] else ():
            size = cost.store_bytes(arm.config, teacher)
            sizes[teacher["name"]] = max(size, sizes.get(teacher["name"], 0))
    if sizes:
        names = ", ".join(f"{name} {gib(size)}" for name, size in sizes.items())
        yield f"With source=store, stores would hold at most, each: {names}; {free} are free."


def jobs_at_once(config: Config) -> int:
    """What the cluster's settings allow; processes that share one GPU node run one by one."""
    cluster = config["cluster"]
    if "array_throttle" in cluster:
        return int(cluster["array_throttle"])
    cores = len(os.sched_getaffinity(0)) if config["budget"]["num_gpus"] == 1 else 1
    return int(cluster["max_parallel"] or cores)


def effects(plan: Plan, estimate: Estimate) -> Iterator[str]:
    """The smallest true difference of macro averages that would be found 8 times in 10."""
    counts = cost.item_counts(plan.config, estimate)
    if unknown := [task for task in plan.config["tasks"]["tasks"] if task not in counts]:
        yield f"Detectable differences are not known: estimate.items lacks {', '.join(unknown)}."
        return
    seeds = {len(s) for q in plan.questions.values() for s in q["arms"].values()}
    for number in sorted(seeds):
        effect = minimum_effect(number, estimate, counts)
        said = (
            "none is, from one seed" if effect is None else f"{effect:.1f} points of macro average"
        )
        yield (
            f"Detectable with {number} seeds: {said} (80 % power, 95 % intervals; one arm's spread "
            f"over seeds {estimate.seed_sd:g} points, {estimate.disagreement:.0%} of items differ)."
        )


def minimum_effect(seeds: int, estimate: Estimate, counts: Mapping[str, int]) -> float | None:
    """In points; None where one seed leaves the spread unknown.

    The variance of a difference of two means over seeds, plus that of its items, with
    Satterthwaite's degrees of freedom: the report's recipe interval (docs/statistics.md).
    """
    if seeds < 2:
        return None
    seed_part = 2 * estimate.seed_sd**2 / seeds
    item_part = 1e4 * sum(estimate.disagreement / n for n in counts.values()) / len(counts) ** 2
    variance = seed_part + item_part
    return detectable(variance**0.5, variance**2 / (seed_part**2 / (seeds - 1)))


def warnings(plan: Plan, arms: Sequence[Arm], estimate: Estimate) -> Iterator[str]:
    """What a reviewer, or the machine, would object to."""
    trained = [arm for arm in arms if arm.config["trained"]]
    if len({arm.runs[0].steps for arm in trained}) > 1:
        yield "arms train for different numbers of steps, so their scores do not compare."
    yield from dict.fromkeys(one for arm in trained for one in doubts(arm, estimate))
    for name, question in plan.questions.items():
        few = [
            label for label, seeds in question["arms"].items()
            if len(seeds) < FEWEST_SEEDS and plan.runs[next(iter(seeds.values()))].config["trained"]
        ]  # fmt: skip
        if few:
            yield (
                f"{name}: {', '.join(few)} with fewer than {FEWEST_SEEDS} seeds; no claim about a "
                f"recipe will be made. Add seed=42,43,44."
            )
    free = cost.free_bytes(plan.root)
    size = sum(cost.store_bytes(*each) for each in stores(plan).values())
    if size > free:
        yield (
            f"{gib(size)} of KV stores do not fit into the {gib(free)} free at "
            f"root={plan.root}: use source=online, a smaller compression.keep, or another root."
        )
    if plan.unresolved:
        why = next(iter(plan.unresolved.values()))
        yield (
            f"{', '.join(plan.unresolved)} have no commit yet ({why}); a run will ask the hub, "
            f"and names that rest on them will change."
        )


def doubts(arm: Arm, estimate: Estimate) -> Iterator[str]:
    """Of one arm's budget."""
    budget, steps = typed("budget", arm.config["budget"]), arm.runs[0].steps
    tokens = steps * global_batch(budget) * budget.seq_len
    if abs(tokens / budget.total_tokens - 1) > LARGEST_DEVIATION:
        yield (
            f"{steps} steps are {tokens} tokens, {abs(tokens / budget.total_tokens - 1):.1%} off "
            f"budget.total_tokens={budget.total_tokens}; the limit is {LARGEST_DEVIATION:.0%}."
        )
    if (times := cost.epochs(arm.config, steps)) > estimate.max_epochs:
        yield (
            f"training reads each of the {cost.texts(arm.config)} texts {times:.0f} times (style "
            f"{arm.config['choices']['style']}), above {estimate.max_epochs:g}: expect "
            f"overfitting, or lower budget.total_tokens."
        )


def told(hours: float) -> str:
    """A time in the unit one would use."""
    if hours < 1:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"


def gib(size: int) -> str:
    """Bytes in GiB, MiB where small."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
