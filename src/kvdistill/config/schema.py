"""The plain groups: names, types and bounds. Strategies check their own fields.

A composed config is merged into these dataclasses, so that a wrong type is refused by name
before anything is computed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kvdistill.config import cluster, estimate, placement, types
from kvdistill.config.estimate import Estimate
from kvdistill.config.structured import to_dataclass
from kvdistill.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much is trained; `plan/budget.py` turns it into steps."""

    total_tokens: int
    batch_size: int
    """Texts a GPU and micro-batch."""
    seq_len: int
    num_gpus: int
    grad_accum: int


@dataclass(frozen=True, kw_only=True)
class Train:
    """Optimiser and schedule, named as in transformers' TrainingArguments."""

    lr: float
    weight_decay: float
    warmup_ratio: float
    lr_scheduler_type: str
    max_grad_norm: float
    bf16: bool
    gradient_checkpointing: bool
    group_by_length: bool
    """Texts of like length share a batch: less padding, the same order for all arms."""
    calibration_rows: int
    logging_steps: int
    eval_steps: int
    save_steps: int
    norm_steps: int
    """Between measurements of each term's gradient; 0 for none."""
    eval_texts: int
    eval_tasks: int
    """Validations between task metrics; 0 for none."""
    eval_items: int
    report_to: str
    """One of transformers' trackers, or none."""
    deepspeed: dict[str, Any] | None
    """How the student is divided among the ranks; execution, never identity."""


@dataclass(frozen=True, kw_only=True)
class KVWeights:
    """What of a cache is matched."""

    keys: float
    values: float


@dataclass(frozen=True, kw_only=True)
class StatusSettings:
    """How stage=status shows a study."""

    watch: bool
    format: str
    every_s: float


PLAIN: dict[str, type] = {
    "budget": Budget,
    "train": Train,
    "kv": KVWeights,
    "estimate": Estimate,
    "status": StatusSettings,
}

SEEDS = 2**32

WEIGHTS = ("ce_weight", "kv_weight", "entropy_weight")
"""Plain numbers of the loss group, whose distance is a strategy."""

FORMATS = ("table", "plain", "json")
"""Of stage=status; a table becomes plain where it is piped."""

POSITIVE = (
    "budget.total_tokens", "budget.batch_size", "budget.seq_len", "budget.num_gpus",
    "budget.grad_accum", "train.lr", "train.calibration_rows", "train.logging_steps",
    "train.eval_steps", "train.save_steps", "train.eval_texts", "train.eval_items",
    "status.every_s",
)  # fmt: skip
NOT_NEGATIVE = (
    "train.weight_decay", "train.warmup_ratio", "train.max_grad_norm", "train.norm_steps",
    "train.eval_tasks", "kv.keys", "kv.values",
    "loss.ce_weight", "loss.kv_weight",
)  # fmt: skip


def read_group(group: str, node: Mapping[str, Any]) -> Any:
    """The node of a plain group as its dataclass. Raises ConfigError naming the key."""
    kind = cluster.cluster_type(node) if group == "cluster" else PLAIN[group]
    return to_dataclass(kind, node, group)


def normalise_groups(config: dict[str, Any]) -> None:
    """Gives the plain groups their types in place: 1 and 1.0 are one weight, so one run.

    Raises ConfigError for wrong types and for numbers out of bounds.
    """
    for group in (*PLAIN, "cluster"):
        config[group] = asdict(read_group(group, config[group]))
    loss = config["loss"]
    for key in WEIGHTS:
        if isinstance(loss[key], int) and not isinstance(loss[key], bool):
            loss[key] = float(loss[key])
    check_bounds(config)


def check_bounds(config: Mapping[str, Any]) -> None:
    """Refuses numbers out of bounds in the plain groups and keys."""
    for paths, least, words in ((POSITIVE, 1e-300, "positive"), (NOT_NEGATIVE, 0, "0 or more")):
        for path in paths:
            value = lookup_path(config, path)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f"{path} must be a number, got {types.format_value(value)}.")
            if not least <= value < float("inf"):
                raise ConfigError(f"{path} must be {words}, got {value}.")
    check_seed(config)
    estimate.check_estimate(config["estimate"])
    cluster.check_cluster_settings(config["cluster"])
    if config["status"]["format"] not in FORMATS:
        raise ConfigError(
            f"status.format={config['status']['format']} is no format. "
            f"Choose one of {', '.join(FORMATS)}."
        )
    placement.check_placements(config)
    check_deepspeed(config)
    if config["budget"]["seq_len"] < 2:
        raise ConfigError("budget.seq_len must be at least 2 tokens to predict one, got 1.")


def check_deepspeed(config: Mapping[str, Any]) -> None:
    """Refuses what would shard the student itself, or train other numbers than without it."""
    given = config["train"]["deepspeed"]
    if given is None:
        return
    zero = given.get("zero_optimization") or {}
    if not isinstance(zero, Mapping):
        raise ConfigError(
            f"train.deepspeed.zero_optimization={types.format_value(zero)} must be a mapping. Use "
            "train=zero2."
        )
    stage = zero.get("stage", 0)
    if stage not in (0, 1, 2):
        raise ConfigError(
            f"train.deepspeed.zero_optimization.stage={stage} must be 0, 1 or 2: the student's K "
            f"and V are read from whole weights. Use train=zero2."
        )
    if taken := sorted({"bf16", "fp16", "torch_autocast", "optimizer", "scheduler"} & given.keys()):
        raise ConfigError(
            f"train.deepspeed.{taken[0]} is what the other settings of train say. Drop it."
        )
    if config["train"]["norm_steps"] or "every" in config["loss"]["balance"]:
        raise ConfigError(
            "train.deepspeed takes every backward pass for a step's own, so no term's gradient "
            "can be measured beside. Use train.norm_steps=0 and loss/balance=constant."
        )
    if config["trained"] and config["budget"]["num_gpus"] == 1:
        raise ConfigError(
            "train.deepspeed divides the student among ranks, but budget.num_gpus=1. Raise it, or "
            "use train.deepspeed=null."
        )


def check_seed(config: Mapping[str, Any]) -> None:
    """Refuses a seed that is no whole number from 0 to what numpy's generator takes."""
    seed = config["seed"]
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEEDS:
        raise ConfigError(
            f"seed must be a whole number of 0 or more, below 2**32, got "
            f"{types.format_value(seed)}."
        )


def lookup_path(config: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path. Raises KeyError."""
    for key in path.split("."):
        config = config[key]
    return config
