"""The division of a step's batch and models with which a run fits its GPUs, as overrides to paste.

None of it changes what a run is: texts a step stay the same, and so do all results but their last
bits. What would (fewer tokens, another teacher) is never proposed.
"""

from collections.abc import Iterator, Sequence

from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate
from kvdistill.errors import ConfigError
from kvdistill.plan.resources.placement import DIVIDED, place_model
from kvdistill.plan.resources.run_memory import estimate_run_memory, summarize_parts

OFFLOADED = "zero3_offload"
ZERO2 = ("'train.deepspeed={zero_optimization:{stage:2}}'", "train.norm_steps=0")
"""As one writes it for a shell."""
FEWEST_TEXTS = 2
"""Of a micro-batch: shuffled sources need two."""


def check_memory(configs: Sequence[Config], estimate: Estimate) -> None:
    """Raises ConfigError where a step of one of these trained runs does not fit its GPU."""
    if shortage := describe_shortage(configs, estimate):
        raise ConfigError(shortage)


def describe_shortage(configs: Sequence[Config], estimate: Estimate) -> str | None:
    """What does not fit, and the overrides with which it would; None where all do.

    Nothing is known of a CPU, whose memory the machine itself has.
    """
    usable_bytes = estimate.usable_bytes
    if usable_bytes is None or not configs:
        return None
    needs = [(estimate_run_memory(config), config) for config in configs]
    memory, config = max(needs, key=lambda each: each[0].total)
    if memory.total <= usable_bytes:
        return None
    names = ", ".join(node["name"] for node in config["teachers"].values()) or "no teacher"
    budget = config["budget"]
    parts = ", ".join(
        f"{part} {size / 2**30:.1f}" for part, size in summarize_parts(memory).items() if size
    )
    division = propose_division([each for _, each in needs], usable_bytes)
    way_out = (
        f"Add {' '.join(division)}, which trains the same"
        if division
        else "No division of these arms together fits: run them apart, or use a larger "
        "estimate.kind, fewer teachers, a smaller budget.seq_len or "
        "train.gradient_checkpointing=true"
    )
    store = "; or source=store, which reads no teacher in training" if config["teachers"] else ""
    return (
        f"budget.batch_size={budget['batch_size']} with budget.seq_len={budget['seq_len']} and "
        f"{names} needs {memory.total / 2**30:.1f} GiB of a rank's GPU ({parts}; highest at "
        f"{memory.phase}), and estimate.kind={estimate.kind} has "
        f"{usable_bytes / 2**30:.1f} to use. {way_out}{store}."
    )


def propose_division(configs: Sequence[Config], usable_bytes: int) -> list[str] | None:
    """The overrides with which all of these trained runs fit; None where no division does.

    They must hold for every run, so a teacher's placement is named only where all have that role.
    Smaller micro-batches come first, which cost least; then teachers divided among the ranks, the
    student's states too, and last teachers in the CPU's memory.
    """
    roles = sorted(set.intersection(*(set(config["teachers"]) for config in configs)))
    for shard, zero2 in list_ways(configs):
        for pieces in list_splits(configs):
            tried = [divide_config(config, pieces, roles, shard, zero2) for config in configs]
            if all(estimate_run_memory(each).total <= usable_bytes for each in tried):
                placed = [f"teachers.{role}.placement.shard={shard}" for role in roles if shard]
                return format_pieces(tried[0], pieces) + placed + list(ZERO2 if zero2 else ())
    return None


def list_ways(configs: Sequence[Config]) -> Iterator[tuple[str | None, bool]]:
    """(placement of the teachers, whether ZeRO-2 divides the student's states), cheapest first."""
    several = all(config["budget"]["num_gpus"] > 1 for config in configs)
    # As check_training.py has it: DeepSpeed measures no term's gradient beside its own step.
    zero2 = several and not any(
        config["train"]["deepspeed"] or "every" in config["loss"]["balance"] for config in configs
    )
    yield None, False
    if several:
        yield DIVIDED, False
    if zero2:
        yield DIVIDED, True
    yield OFFLOADED, False
    if zero2:
        yield OFFLOADED, True


def list_splits(configs: Sequence[Config]) -> Iterator[int]:
    """Numbers of pieces into which every run's micro-batch can be divided, from 1."""
    pieces = 1
    while all(
        config["budget"]["batch_size"] % pieces == 0
        and config["budget"]["batch_size"] // pieces >= FEWEST_TEXTS
        for config in configs
    ):
        yield pieces
        pieces *= 2


def divide_config(
    config: Config, pieces: int, roles: Sequence[str], shard: str | None, zero2: bool
) -> Config:
    """The config with its micro-batch in pieces, and models divided as `list_ways` says."""
    budget = config["budget"]
    divided = config | {
        "budget": budget
        | {
            "batch_size": budget["batch_size"] // pieces,
            "grad_accum": budget["grad_accum"] * pieces,
        }
    }
    if zero2:
        divided["train"] = config["train"] | {"deepspeed": {"zero_optimization": {"stage": 2}}}
    if shard is not None:
        divided["teachers"] = {
            role: place_model(node, shard) if role in roles else node
            for role, node in config["teachers"].items()
        }
    return divided


def format_pieces(tried: Config, pieces: int) -> list[str]:
    """The budget of a micro-batch in pieces, as it is to be added to the command."""
    budget = tried["budget"]
    if pieces == 1:
        return []
    return [
        f"budget.batch_size={budget['batch_size']}",
        f"budget.grad_accum={budget['grad_accum']}",
    ]
