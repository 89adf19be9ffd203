"""What is doubtful about a plan, and how small a difference its seeds can show."""

from collections.abc import Iterator, Sequence

from kvdistill.config.check_texts import describe_missing_rationale
from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate, read_group
from kvdistill.console import format_count
from kvdistill.estimate import run_cost
from kvdistill.estimate.plan_cost import PricedArm, format_bytes, list_stores
from kvdistill.estimate.store_feed import warn_of_feed
from kvdistill.plan.budget import global_batch
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.matching.count_texts import count_texts
from kvdistill.plan.model_files.decide_dtypes import multiplies_half_fast
from kvdistill.plan.resources.division import describe_shortage
from kvdistill.plan.suite_data import list_absent_tasks, read_suite_metadata
from kvdistill.records import MANY_EPOCHS
from kvdistill.stats.claims.power import minimum_detectable_effect_of_seeds

FEWEST_SEEDS = 3
LARGEST_DEVIATION = 0.01
"""Of the steps' tokens from budget.total_tokens."""
HIGHEST_TUNING_RATE = 6e-4
"""The highest peak rate of Brown et al. 2020, table 2.1 (arXiv 2005.14165): 125M weights, trained
from nothing. Larger models had less, down to 6e-5, and tuning what has learned takes less again."""


def list_warnings(plan: Plan, arms: Sequence[PricedArm], estimate: Estimate) -> Iterator[str]:
    """What a reviewer, or the machine, would object to."""
    trained = [arm for arm in arms if arm.config["trained"]]
    if len(plan.list_unified_steps()) > 1:
        yield "arms train for different numbers of steps, so their scores do not compare."
    yield from dict.fromkeys(one for arm in trained for one in warn_of_arm(arm))
    if absent := list_absent_tasks(plan.config, read_suite_metadata(plan.config)):
        yield (
            f"tasks.data_root={plan.config['tasks']['data_root']} lacks rows of "
            f"{', '.join(absent)}: they will not be scored, and there will be no average."
        )
    for name, question in plan.questions.items():
        few = [
            label for label, seeds in question.arms.items()
            if len(seeds) < FEWEST_SEEDS and plan.runs[next(iter(seeds.values()))].config["trained"]
        ]  # fmt: skip
        if few:
            yield (
                f"{name}: {', '.join(few)} with fewer than {FEWEST_SEEDS} seeds; no claim about a "
                f"recipe will be made. Add -m seed=42,43,44."
            )
    if shortage := describe_shortage([arm.config for arm in trained], estimate):
        yield shortage
    free = run_cost.read_free_bytes(plan.root)
    size = sum(run_cost.estimate_store_bytes(*each) for each in list_stores(plan).values())
    if size > free:
        yield (
            f"{format_bytes(size)} of KV stores do not fit into the {format_bytes(free)} free at "
            f"root={plan.root}: use source=online, a smaller compression.keep, or another root."
        )
    if feed := warn_of_feed(arms, estimate):
        yield feed
    if plan.unresolved:
        why = next(iter(plan.unresolved.values()))
        yield (
            f"{', '.join(plan.unresolved)} have no commit yet ({why}); a run will ask the hub, "
            f"and names that rest on them will change."
        )


def warn_of_arm(arm: PricedArm) -> Iterator[str]:
    """Of one arm's budget."""
    budget, steps = read_group("budget", arm.config["budget"]), arm.runs[0].steps
    tokens = steps * global_batch(budget) * budget.seq_len
    if abs(tokens / budget.total_tokens - 1) > LARGEST_DEVIATION:
        yield (
            f"{steps} steps are {tokens} tokens, {abs(tokens / budget.total_tokens - 1):.1%} off "
            f"budget.total_tokens={budget.total_tokens}; the limit is {LARGEST_DEVIATION:.0%}."
        )
    yield from warn_of_training(arm.config)
    yield from warn_of_slow_half(arm.config)
    if (times := run_cost.count_epochs(arm.config, steps)) > MANY_EPOCHS:
        yield (
            f"training reads each of the {count_texts(arm.config)} texts {times:.0f} "
            f"times (style "
            f"{arm.config['choices']['style']}), above {MANY_EPOCHS}: expect "
            f"overfitting, or lower budget.total_tokens."
        )


def warn_of_training(config: Config) -> Iterator[str]:
    """Of texts that no row can give, and of a rate that undoes what weights have learned."""
    if (fault := describe_missing_rationale(config)) is not None:
        yield f"{fault} A run is refused."
    rate, whole = config["train"]["lr"], config["choices"]["adapter"] == "none"
    if "pretrained" in config["student"] and whole and rate > HIGHEST_TUNING_RATE:
        yield (
            f"train.lr={rate:g} is above {HIGHEST_TUNING_RATE:g}, the highest with which models of "
            f"125M weights and more were trained from nothing (arXiv 2005.14165, table 2.1), and "
            f"student.pretrained has learned already: expect it to unlearn. Try train.lr=2e-5, as "
            f"scale=paper has it."
        )


def warn_of_slow_half(config: Config) -> Iterator[str]:
    """Of bfloat16 on a processor of this machine that has no instructions for it."""
    if config["cluster"]["name"] != "local" or multiplies_half_fast(config):
        return
    dtypes = {f"teachers.{name}.dtype": node["dtype"] for name, node in config["teachers"].items()}
    half = [f"{path}={dtype}" for path, dtype in dtypes.items() if dtype != "float32"]
    if config["train"]["bf16"]:
        half.append("train.bf16=true")
    if half:
        yield (
            f"{', '.join(half)}: this processor has no instructions for bfloat16 (avx512_bf16, "
            f"amx_bf16), so without a GPU such steps are slower than in float32. Use dtype=auto "
            f"of teachers and train.bf16=false."
        )


def describe_effects(plan: Plan, estimate: Estimate) -> Iterator[str]:
    """The smallest true difference of macro averages that would be found 8 times in 10."""
    counts = run_cost.count_items(plan.config, estimate)
    if unknown := [task for task in plan.config["tasks"]["tasks"] if task not in counts]:
        yield f"Detectable differences are not known: estimate.items lacks {', '.join(unknown)}."
        return
    seeds = {len(s) for q in plan.questions.values() for s in q.arms.values()}
    for number in sorted(seeds):
        effect = minimum_detectable_effect_of_seeds(
            number, estimate.seed_sd, estimate.disagreement, list(counts.values())
        )
        smallest_effect = (
            f"none is, an interval over new seeds needs {FEWEST_SEEDS}"
            if effect is None
            else f"{effect:.1f} points of macro average"
        )
        yield (
            f"Detectable with {format_count(number, 'seed')}: {smallest_effect} (80 % power, 95 % "
            f"intervals; one arm's spread over seeds {estimate.seed_sd:g} points, "
            f"{estimate.disagreement:.0%} of items differ)."
        )
