"""stage=plan: what a command would do and cost, and what is doubtful about it. Computes nothing."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Column, Table

from kvdistill.cli.common import JobOverrides, console, print_sources
from kvdistill.cli.plan_table import tabulate_plan, tabulate_trials
from kvdistill.cluster.code_choice import describe_choice, list_code_changes
from kvdistill.cluster.run_module import call_in_new_process
from kvdistill.cluster.text_lengths import describe_text_lengths
from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate, read_group
from kvdistill.console import format_count, label_message
from kvdistill.estimate import run_cost
from kvdistill.estimate.claim_power import describe_assumptions, list_claim_powers
from kvdistill.estimate.evaluation_cost import list_unsized_tasks
from kvdistill.estimate.plan_cost import (
    PricedArm,
    artifact_cost,
    format_bytes,
    group_by_recipe,
    list_stores,
    list_teacher_artifacts,
)
from kvdistill.estimate.power_table import (
    describe_unreckoned,
    describe_weak_claims,
    tabulate_powers,
)
from kvdistill.estimate.run_cost import Cost
from kvdistill.estimate.store_feed import describe_feed, find_highest_feed
from kvdistill.estimate.tuning_cost import tabulate_trial_costs
from kvdistill.estimate.warnings import describe_effects, list_warnings
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.expand import expand_command
from kvdistill.plan.freeze import describe_kept_settings
from kvdistill.plan.model_files.decide_dtypes import describe_dtypes
from kvdistill.plan.resources.run_memory import RunMemory, estimate_run_memory
from kvdistill.plan.study_plan import walk_arms
from kvdistill.plan.suite_data import check_suite_data
from kvdistill.plan.trials.expand_trials import expand_trials
from kvdistill.stats.claims.names import check_claim_names, list_unjudged

WEEK_H = 7 * 24
STUDY_WEEKS = (3, 4)
"""What the study is planned to take on its GPUs, at most and at least."""


def plan_command(job_overrides: JobOverrides, sweeps: Path) -> None:
    """Says what a command would do and cost."""
    plan, trials = expand_command(job_overrides, sweeps), expand_trials(job_overrides, sweeps)
    check_claim_names(plan)
    check_suite_data(plan)
    for each in (plan, trials):
        if each is not None:
            print_sources(each)
    changes = list_code_changes(plan)
    if trials is not None:
        console.print(tabulate_trials(trials))
    console.print(tabulate_plan(plan))
    for line in (*describe_choice(plan, changes), *describe_kept_settings(plan)):
        console.print(line, soft_wrap=True)
    for sentence in describe_text_lengths(plan, plan.runs.values(), call_in_new_process):
        console.print(sentence, soft_wrap=True)
    if trials is not None:
        estimate = read_group("estimate", trials.config["estimate"])
        console.print(tabulate_trial_costs(trials, estimate))
    show_costs(plan)


def show_costs(plan: Plan) -> None:
    """Every table and sentence about what the plan costs."""
    estimate = read_group("estimate", plan.config["estimate"])
    arms = group_by_recipe(plan, estimate)
    console.print(count_runs(plan))
    console.print(tabulate_costs(arms, estimate))
    total = sum((arm.run_cost for arm in arms for _ in arm.runs), artifact_cost(plan))
    console.print(tabulate_totals(plan, total, estimate))
    if estimate.gpu.memory_gib is not None:
        console.print(tabulate_memory(arms, estimate))
    for line in describe_costs(plan, arms, total, estimate):
        console.print(line)
    show_powers(plan, estimate)
    for line in list_warnings(plan, arms, estimate):
        console.print(label_message("warning", "yellow", line))


def show_powers(plan: Plan, estimate: Estimate) -> None:
    """What each claim could show; nothing where nothing is claimed."""
    powers = list_claim_powers(plan, estimate)
    if not powers:
        return
    console.print(tabulate_powers(powers))
    for line in (describe_assumptions(estimate, plan.config), *describe_unreckoned(powers)):
        console.print(line)
    for line in (*describe_weak_claims(powers), *list_unjudged(plan)):
        console.print(label_message("warning", "yellow", line))


def count_runs(plan: Plan) -> str:
    """Distinct runs, how often questions ask for them where some share, and shared artefacts."""
    identities = [identity for _, _, identity in walk_arms(plan.questions)]
    distinct = len(set(identities))
    shared = "" if len(identities) == distinct else f", asked for {len(identities)} times"
    kinds = [node.kind for node in plan.artifacts.values()]
    artifacts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    return (
        f"Questions: {len(plan.questions)}. Runs: {distinct}{shared}. Teachers evaluated as they "
        f"are: {len(plan.runs) - distinct}. "
        f"Shared artefacts: {artifacts}."
    )


def tabulate_costs(arms: Sequence[PricedArm], estimate: Estimate) -> Table:
    """A row an arm, for one of its runs."""
    table = Table(
        Column("arm", overflow="fold"),  # arms of one axis differ in their last letters
        "seeds", "steps", "tokens", "student FLOPs", "teacher FLOPs", "evaluation FLOPs",
        f"hours of {estimate.kind}", "of them evaluation",
        title="Each run costs",
    )  # fmt: skip
    for arm in arms:
        each, steps = arm.run_cost, arm.runs[0].steps
        numbers = (each.tokens, each.student, each.teachers, each.evaluation)
        table.add_row(
            arm.label,
            str(len(arm.runs)),
            str(steps or "none"),
            *(f"{number:.3g}" if number else "none" for number in numbers),
            f"{each.hours(estimate.gpu, estimate):.3g}",
            f"{each.evaluation_hours(estimate.gpu, estimate):.3g}",
        )
    return table


def tabulate_totals(plan: Plan, total: Cost, estimate: Estimate) -> Table:
    """Hours of every kind, and what they mean in weeks."""
    gpus = largest_num_gpus(plan)
    least = estimate.decode_layer_ms[plan.config["tasks"].get("backend", "hf")]
    table = Table(
        "kind", "peak TFLOP/s", "hours", f"weeks on {gpus}", f"needed for {STUDY_WEEKS[1]} weeks",
        title=f"All of it: {total.student:.3g} student, {total.teachers:.3g} teacher and "
        f"{total.evaluation:.3g} evaluation FLOPs",
        caption=f"assumed, not measured: {estimate.utilisation:.0%} of the peak "
        "(estimate.utilisation); answers are written at the memory's bandwidth "
        f"(estimate.memory_gb_s), a layer and step at no less than {least} ms "
        "(estimate.decode_layer_ms)",
    )  # fmt: skip
    for name, gpu in estimate.gpus.items():
        if (gpu.memory_gib is None) != (estimate.gpu.memory_gib is None):
            continue  # a CPU, at a scale that needs GPUs, or the other way round
        hours = total.hours(gpu, estimate)
        needed = max(1, -int(-hours // (STUDY_WEEKS[1] * WEEK_H)))
        weeks = f"{hours / gpus / WEEK_H:.3g}"
        table.add_row(name, f"{gpu.peak_tflops:g}", f"{hours:.4g}", weeks, str(needed))
    return table


def tabulate_memory(arms: Sequence[PricedArm], estimate: Estimate) -> Table:
    """What each set of models takes of a GPU; arms that take the same share a row."""
    sets: dict[str, tuple[RunMemory, list[str], list[str]]] = {}
    for arm in arms:
        if arm.config["trained"]:
            memory = estimate_run_memory(arm.config)
            placed = [
                f"{node['name']} {describe_placement(node)} "
                f"{memory.teachers.get(node['name'], 0) / 2**30:.1f}"
                for node in arm.config["teachers"].values()
            ]
            sets.setdefault(repr((memory, placed)), (memory, placed, []))[2].append(arm.label)
    table = Table(
        "arms", "student", "teachers", "its pass", "logits", "K and V", "together", "highest at",
        title="GiB of a rank's GPU, at full length",
        caption=f"{estimate.kind} has {estimate.gpu.memory_gib:g}, less "
        f"{estimate.reserve_gib:g} for the libraries (estimate.reserve_gib); logits of "
        f"{estimate.answer_share:.0%} of the tokens (estimate.answer_share)",
    )  # fmt: skip
    for memory, placed, labels in sorted(sets.values(), key=lambda item: item[0].total):
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        parts = (memory.models_step, memory.logits, memory.rooms, memory.total)
        table.add_row(
            f"{labels[0]}{more}", f"{memory.student / 2**30:.1f}", "; ".join(placed) or "none",
            *(f"{part / 2**30:.1f}" for part in parts), memory.phase,
        )  # fmt: skip
    return table


def describe_placement(node: Mapping[str, Any]) -> str:
    """How a teacher lies on the GPUs: whole, or divided as its placement says."""
    shard = (node.get("placement") or {}).get("shard", "none")
    return "whole" if shard == "none" else str(shard)


def largest_num_gpus(plan: Plan) -> int:
    """The largest run's."""
    return max(run.config["budget"]["num_gpus"] for run in plan.runs.values())


def describe_costs(
    plan: Plan, arms: Sequence[PricedArm], total: Cost, estimate: Estimate
) -> Iterator[str]:
    """Wall time, the study's own reckoning, the store, what could be detected."""
    runs = [estimate_run_wall(arm, estimate) for arm in arms for _ in arm.runs]
    at_once = count_parallel_jobs(plan.config)
    artifact_hours = artifact_cost(plan).hours(estimate.gpu, estimate) / at_once
    wall = run_cost.estimate_wall_hours(runs, at_once) + artifact_hours
    yield (
        f"Wall time on cluster={plan.config['cluster']['name']}, {at_once} jobs at a time: about "
        f"{format_hours(wall)}, with {estimate.overhead_s:g} s a job beside computing; no queueing."
    )
    hours = total.hours(estimate.gpu, estimate)
    scoring = total.evaluation_hours(estimate.gpu, estimate)
    yield (
        f"Evaluation: {format_hours(scoring)} of {estimate.kind} beside "
        f"{format_hours(hours - scoring)} of training and reading; "
        f"{describe_lengths(plan, estimate)}."
    )
    configs = [arm.config for arm in arms]
    unsized = [task for config in configs for task in list_unsized_tasks(config, estimate)]
    if unsized:
        names = ", ".join(dict.fromkeys(unsized))
        yield (
            f"Without what scoring {names} costs: nothing says how many items there are "
            "(estimate.items, tasks.limit)."
        )
    if hours > 1 and estimate.gpu.memory_gib is not None:
        weeks = hours / largest_num_gpus(plan) / WEEK_H
        low, high = STUDY_WEEKS
        verdict = "within" if weeks <= high else "beyond"
        yield (
            f"The study reckons with {low} to {high} weeks of GPUs: on "
            f"{largest_num_gpus(plan)} x {estimate.kind} without a pause it is {weeks:.1f} weeks, "
            f"{verdict} that."
        )
    yield from describe_dtypes(configs)
    yield from describe_stores(plan, arms)
    if feed := find_highest_feed(arms, estimate):
        yield describe_feed(feed, estimate)
    yield from describe_effects(plan, estimate)


def describe_lengths(plan: Plan, estimate: Estimate) -> str:
    """The lengths that scoring is reckoned with, and that they are stated by hand."""
    prompts = f"assumed: prompts of {estimate.tokens_per_item} tokens (estimate.tokens_per_item)"
    if plan.config["tasks"].get("backend", "hf") == "hf":
        return f"{prompts}, and in every batch an answer as long as its task allows"
    return f"{prompts}, answers of {estimate.answer_tokens} (estimate.answer_tokens)"


def estimate_run_wall(arm: PricedArm, estimate: Estimate) -> float:
    """Hours of one of its runs: training on all GPUs, then scoring on those of its evaluation."""
    scoring = arm.run_cost.evaluation_hours(estimate.gpu, estimate)
    training = arm.run_cost.hours(estimate.gpu, estimate) - scoring
    ranks = arm.config["cluster"]["evaluation"]["ranks"]
    return (
        training / arm.config["budget"]["num_gpus"] + scoring / ranks + estimate.overhead_s / 3600
    )


def describe_stores(plan: Plan, arms: Sequence[PricedArm]) -> Iterator[str]:
    """What stores hold, or would hold, and what there is."""
    free = format_bytes(run_cost.read_free_bytes(plan.root))
    stores, states = list_stores(plan), list_teacher_artifacts(plan, "states")
    if states:
        total_bytes = sum(run_cost.estimate_states_bytes(*each) for each in states.values())
        yield (
            f"{len(states)} stores of answers' states hold at most {format_bytes(total_bytes)}; "
            f"{free} are free."
        )
    if stores:
        total_bytes = sum(run_cost.estimate_store_bytes(*each) for each in stores.values())
        yield (
            f"{len(stores)} KV stores hold at most {format_bytes(total_bytes)}; {free} are free."
        )
    if stores or states:
        return
    sizes: dict[str, int] = {}
    for arm in arms:
        for teacher in arm.config["teachers"].values() if arm.config["trained"] else ():
            size = run_cost.estimate_stored_bytes(arm.config, teacher)
            sizes[teacher["name"]] = max(size, sizes.get(teacher["name"], 0))
    if sizes:
        names = ", ".join(f"{name} {format_bytes(size)}" for name, size in sizes.items())
        yield f"With source=store, stores would hold at most, each: {names}; {free} are free."


def count_parallel_jobs(config: Config) -> int:
    """What the cluster's settings allow; processes that share one GPU node run one by one."""
    cluster = config["cluster"]
    if "array_throttle" in cluster:
        return int(cluster["array_throttle"])
    cores = len(os.sched_getaffinity(0)) if config["budget"]["num_gpus"] == 1 else 1
    return int(cluster["max_parallel"] or cores)


def format_hours(hours: float) -> str:
    """A time in the unit one would use."""
    if hours < 1:
        minutes = round(hours * 60)
        return format_count(minutes, "minute") if minutes else "less than a minute"
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
