"""Rules of training: loss, schedule and how DeepSpeed divides it; called from check_values.py."""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from kvdistill.config import types
from kvdistill.errors import ConfigError

ATTENTIONS = (None, "eager", "sdpa", "flash_attention_2", "flash_attention_3")
LINEAR_CES = ("none", "chunked", "liger")
TRACKERS = ("none", "tensorboard", "wandb", "trackio", "mlflow")
STEADY = "kvdistill.loss.schedule.steady.Steady"
DECAY = "kvdistill.loss.decay.Decay"


def check_loss(config: Mapping[str, Any]) -> None:
    """Refuses a router weight that is no number, and a KV loss without teachers."""
    weight = config["loss"]["entropy_weight"]
    if not types.is_of_kind(weight, float) or not math.isfinite(weight):
        raise ConfigError(
            f"loss.entropy_weight must be a finite number, got {types.format_value(weight)}."
        )
    if config["trained"] and not config["teachers"] and config["loss"]["kv_weight"] > 0:
        raise ConfigError(
            f"teachers=none leaves loss.kv_weight={config['loss']['kv_weight']} nothing to match. "
            f"Use arm=sft, or choose teachers."
        )


def check_loss_schedule(config: Mapping[str, Any]) -> None:
    """Refuses a schedule of the loss's terms where there is one term, or another schedule."""
    loss = config["loss"]
    if not config["trained"] or loss["schedule"]["_target_"] == STEADY:
        return
    if not config["teachers"]:
        raise ConfigError(
            "loss.schedule weighs cross-entropy against the teachers' K and V, but teachers=none. "
            "Use loss/schedule=constant, or choose teachers."
        )
    if loss["balance"]["_target_"] == DECAY:
        raise ConfigError(
            "loss.schedule and loss/balance=decay would both change the weight of K and V by the "
            "steps that are done. Use loss/balance=constant."
        )


def check_schedule(config: Mapping[str, Any]) -> None:
    """Refuses a warmup longer than the training, texts too short, and a share that is none."""
    if config["train"]["warmup_ratio"] > 1:
        warmup = config["train"]["warmup_ratio"]
        raise ConfigError(f"train.warmup_ratio must be from 0 to 1, got {warmup}.")
    if config["budget"]["seq_len"] < 2:
        raise ConfigError("budget.seq_len must be at least 2 tokens to predict one, got 1.")
    share = config["budget"]["max_unanswered"]
    if not 0 <= share <= 1:
        raise ConfigError(
            f"budget.max_unanswered must be a share of the texts from 0 to 1, got {share:g}."
        )


def check_tracker(config: Mapping[str, Any]) -> None:
    """Refuses a tracker that is none; whether its package is there is asked where it is used."""
    name = config["train"]["report_to"]
    if name not in TRACKERS:
        close = get_close_matches(str(name), TRACKERS, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigError(
            f"train.report_to={name} is no tracker.{hint} Choose one of {', '.join(TRACKERS)}."
        )


def check_kernel_settings(config: Mapping[str, Any]) -> None:
    """Refuses kernels that are none, and those that cannot compute what the other settings say."""
    train = config["train"]
    for key, choices in (("attn_implementation", ATTENTIONS), ("linear_ce", LINEAR_CES)):
        if train[key] not in choices:
            names = ", ".join("null" if choice is None else choice for choice in choices)
            raise ConfigError(
                f"train.{key}={types.format_value(train[key])} is none of {names}. Choose one."
            )
    implementation = train["attn_implementation"]
    if not config["trained"] or not str(implementation).startswith("flash"):
        return
    if not train["bf16"]:
        raise ConfigError(
            f"train.attn_implementation={implementation} computes in half precision alone, but "
            f"train.bf16=false. Use train.bf16=true, or sdpa."
        )
    for role, node in types.list_models(config).items():
        if role != "student" and node["dtype"] == "float32":
            raise ConfigError(
                f"train.attn_implementation={implementation} computes in half precision alone, but "
                f"{role}.dtype=float32. Use bfloat16 there, or sdpa."
            )
        if (node.get("placement") or {}).get("device") == "cpu":
            raise ConfigError(
                f"train.attn_implementation={implementation} runs on GPUs alone, but "
                f"{role}.placement.device=cpu. Use device=auto, or sdpa."
            )


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
