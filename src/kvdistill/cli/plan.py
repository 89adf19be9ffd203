"""stage=plan: what a command would do and cost, and what is doubtful about it. Computes nothing."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Column, Table

from kvdistill.cli.common import JobOverrides, console
from kvdistill.cli.plan_table import tabulate_plan
from kvdistill.config.compose import Config
from kvdistill.config.estimate import Estimate
from kvdistill.config.schema import typed
from kvdistill.console import labelled
from kvdistill.estimate import run_cost
from kvdistill.estimate.plan_cost import Arm, built, gib, grouped, stores
from kvdistill.estimate.run_cost import Cost
from kvdistill.estimate.warnings import effects, warnings
from kvdistill.plan.expand import Plan, expand

WEEK_H = 7 * 24
STUDY_WEEKS = (3, 4)
"""What STUDY.md G.2 allows the whole study."""


def plan_command(job_overrides: JobOverrides, sweeps: Path) -> None:
    """Says what a command would do and cost."""
    plan = expand(job_overrides, sweeps)
    console.print(tabulate_plan(plan))
    show_costs(plan)


def show_costs(plan: Plan) -> None:
    """Every table and sentence about what the plan costs."""
    estimate = typed("estimate", plan.config["estimate"])
    arms = grouped(plan, estimate)
    console.print(counted(plan))
    console.print(costs(arms, estimate))
    total = sum((arm.each for arm in arms for _ in arm.runs), built(plan))
    console.print(totals(plan, total, estimate))
    if estimate.gpu.memory_gib is not None:
        console.print(ranks(arms, estimate))
    for line in facts(plan, arms, total, estimate):
        console.print(line)
    for line in warnings(plan, arms, estimate):
        console.print(labelled("warning", "yellow", line))


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
        f"Questions: {len(plan.questions)}. Runs: {len(asked)}, {len(set(asked))} after sharing. "
        f"Teachers evaluated as they are: {len(plan.runs) - len(set(asked))}. "
        f"Shared artefacts: {artifacts}."
    )


def costs(arms: Sequence[Arm], estimate: Estimate) -> Table:
    """A row an arm, for one of its runs."""
    table = Table(
        Column("arm", overflow="fold"),  # arms of one axis differ in their last letters
        "seeds", "steps", "tokens", "student FLOPs", "teacher FLOPs", "evaluation FLOPs",
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


def ranks(arms: Sequence[Arm], estimate: Estimate) -> Table:
    """What each set of models takes of a GPU; arms that take the same share a row."""
    sets: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for arm in arms:
        if arm.config["trained"]:
            sets.setdefault(tuple(run_cost.memory_of(arm.config).items()), []).append(arm.label)
    table = Table(
        "arms", "student", "teachers", "together", title="GiB of a rank's GPU, at full length",
        caption=f"{estimate.kind} has {estimate.gpu.memory_gib:g}",
    )  # fmt: skip
    for parts, labels in sorted(sets.items(), key=lambda item: sum(size for _, size in item[0])):
        (_, own), *taught = parts
        told = "; ".join(f"{name} {size / 2**30:.1f}" for name, size in taught) or "none"
        whole = (own + sum(size for _, size in taught)) / 2**30
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        table.add_row(f"{labels[0]}{more}", f"{own / 2**30:.1f}", told, f"{whole:.1f}")
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
    wall = run_cost.wall_hours(runs, at_once) + first
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
    free = gib(run_cost.free_bytes(plan.root))
    if found := stores(plan):
        whole = sum(run_cost.store_bytes(*each) for each in found.values())
        yield f"{len(found)} KV stores hold at most {gib(whole)}; {free} are free."
        return
    sizes: dict[str, int] = {}
    for arm in arms:
        for teacher in arm.config["teachers"].values() if arm.config["trained"] else ():
            size = run_cost.store_bytes(arm.config, teacher)
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


def told(hours: float) -> str:
    """A time in the unit one would use."""
    if hours < 1:
        return f"{hours * 60:.0f} minutes"
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
