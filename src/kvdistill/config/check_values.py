"""Where a new rule about a setting goes: into RULES, here.

Each rule is a function of the whole config that raises ConfigError, with one line that names the
setting's path, its value, what must hold, and the way out. By then every group is there
(check_shape.py) and the plain groups have their types (schema.py), so a rule reads without asking.
A bound on a number is a path in POSITIVE or NOT_NEGATIVE. Rules of the cluster, of models and of
training lie in files of their own beside this one; what only one strategy knows of its own fields
stands in that strategy's constructor, and is asked before anything is queued (train/preflight.py).
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kvdistill.config import types
from kvdistill.config.check_cluster import check_cluster_settings
from kvdistill.config.check_models import check_geometries, check_placements, check_token_ratios
from kvdistill.config.check_rooms import (
    check_compression,
    check_logits,
    check_matched_parts,
    check_none_choices,
)
from kvdistill.config.check_texts import check_answers, check_on_policy, check_reading
from kvdistill.config.check_training import (
    check_deepspeed,
    check_kernel_settings,
    check_loss,
    check_loss_schedule,
    check_schedule,
    check_tracker,
)
from kvdistill.config.schema import lookup_path
from kvdistill.errors import ConfigError

SEEDS = 2**32
"""Below it, as numpy's generator takes them."""
FORMATS = ("table", "plain", "json")
"""Of stage=status; a table becomes plain where it is piped."""
CODE_CHOICES = ("refuse", "rerun", "accept")
"""What becomes of what other code has made."""
ADOPTED_ROLES = ("teacher", "student")
"""What a model may be adopted as."""
SMOKE_WEIGHTS = ("random", "real")
FEWEST_SMOKE_STEPS = 8
POSITIVE = (
    "budget.total_tokens", "budget.batch_size", "budget.seq_len", "budget.num_gpus",
    "budget.grad_accum", "train.lr", "train.calibration_rows", "train.logging_steps",
    "train.eval_steps", "train.save_steps", "train.eval_texts", "train.eval_items",
    "status.every_s", "logits.temperature",
)  # fmt: skip
NOT_NEGATIVE = (
    "train.weight_decay", "train.warmup_ratio", "train.max_grad_norm", "train.norm_steps",
    "train.eval_tasks", "kv.keys", "kv.values",
    "loss.ce_weight", "loss.kv_weight", "logits.weight",
)  # fmt: skip


def check_values(config: Mapping[str, Any]) -> None:
    """Raises ConfigError with the first rule that the config breaks."""
    for rule in RULES:
        rule(config)


def check_bounds(config: Mapping[str, Any]) -> None:
    """Refuses numbers out of bounds in the plain groups."""
    for paths, least, words in ((POSITIVE, 1e-300, "positive"), (NOT_NEGATIVE, 0, "0 or more")):
        for path in paths:
            value = lookup_path(config, path)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f"{path} must be a number, got {types.format_value(value)}.")
            if not least <= value < float("inf"):
                raise ConfigError(f"{path} must be {words}, got {value}.")


def check_seed(config: Mapping[str, Any]) -> None:
    """Refuses a seed that is no whole number from 0 to what numpy's generator takes."""
    seed = config["seed"]
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < SEEDS:
        raise ConfigError(
            f"seed must be a whole number of 0 or more, below 2**32, got "
            f"{types.format_value(seed)}."
        )


def check_estimate(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for shares out of (0, 1], peaks of 0 and an unknown kind."""
    node = config["estimate"]
    for key in ("utilisation", "disagreement", "answer_share"):
        if not 0 < node[key] <= 1:
            raise ConfigError(f"estimate.{key} must be in (0, 1], got {node[key]}.")
    for kind, peak in node["peak_tflops"].items():
        if not peak > 0:
            raise ConfigError(f"estimate.peak_tflops.{kind} must be positive, got {peak}.")
    positive = (
        "seed_sd", "effect", "effect_percent", "loss_sd", "text_sd", "time_sd", "disk_gb_s",
    )  # fmt: skip
    for key in positive:
        if not 0 < node[key] < float("inf"):
            raise ConfigError(f"estimate.{key} must be above 0, got {node[key]}.")
    if node["reserve_gib"] < 0:
        raise ConfigError(f"estimate.reserve_gib must be 0 or more, got {node['reserve_gib']}.")
    if node["kind"] not in node["peak_tflops"]:
        raise ConfigError(
            f"estimate.kind={node['kind']} is no kind of processor. Choose one of "
            f"{', '.join(node['peak_tflops'])}, or add it to estimate.peak_tflops."
        )


def check_status(config: Mapping[str, Any]) -> None:
    """Refuses a form in which stage=status cannot show a study."""
    if config["status"]["format"] not in FORMATS:
        raise ConfigError(
            f"status.format={config['status']['format']} is no format. "
            f"Choose one of {', '.join(FORMATS)}."
        )


def check_withdrawal(config: Mapping[str, Any]) -> None:
    """Refuses a withdrawal of nothing, of two things or without a reason, and such settings else.

    A reason on a command that withdraws nothing would be dropped in silence.
    """
    label, run, reason = (config[key] for key in ("label", "run", "reason"))
    if config["stage"] != "withdraw":
        for key, value in (("label", label), ("reason", reason)):
            if value is not None:
                raise ConfigError(
                    f"{key}={value} is for stage=withdraw, not stage={config['stage']}."
                )
        return
    if (label is None) == (run is None):
        raise ConfigError(
            f"stage=withdraw needs exactly one of label and run, got label={label} and run={run}. "
            "stage=status lists both."
        )
    if reason is None or not str(reason).strip():
        raise ConfigError(
            f"reason must say why, as the report will print it, got {types.format_value(reason)}. "
            "Give it as \"reason='WHY'\"."
        )


def check_adoption(config: Mapping[str, Any]) -> None:
    """Refuses an adoption without model, role or a file's name, and these where none is asked."""
    given = {key: config[key] for key in ("model", "role", "name") if config[key] is not None}
    if config["stage"] != "adopt":
        for key, value in given.items():
            raise ConfigError(
                f"{key}={value} is for stage=adopt, not stage={config['stage']}. A run has "
                f"student=NAME and teachers=NAME."
            )
        return
    for key in ("model", "role", "name"):
        if key not in given:
            raise ConfigError(
                f"stage=adopt needs {key}. Give model=FOLDER (or a GGUF file, or OWNER/NAME of the "
                f"hub), role=teacher or student, and name=NAME."
            )
    if given["role"] not in ADOPTED_ROLES:
        raise ConfigError(
            f"role={given['role']} is none of {', '.join(ADOPTED_ROLES)}. Choose one of them."
        )
    if not re.fullmatch(r"\w[\w.+-]*", str(given["name"])):
        raise ConfigError(
            f"name={types.format_value(given['name'])} must be a file's name: letters, digits, _ . "
            f"+ -. The model is then chosen by it."
        )


def check_code_choice(config: Mapping[str, Any]) -> None:
    """Refuses an answer to other code that is none."""
    if config["code"] not in CODE_CHOICES:
        raise ConfigError(
            f"code={types.format_value(config['code'])} must be one of {', '.join(CODE_CHOICES)}: "
            f"what becomes of runs that other code has made."
        )


def check_cluster(config: Mapping[str, Any]) -> None:
    """Refuses a cluster that cannot be."""
    check_cluster_settings(config["cluster"])


def check_smoke(config: Mapping[str, Any]) -> None:
    """Refuses a smoke job that could not say anything, and a peak that is none."""
    node = config["smoke"]
    if node["steps"] < FEWEST_SMOKE_STEPS:
        raise ConfigError(
            f"smoke.steps={node['steps']} must be {FEWEST_SMOKE_STEPS} or more: a run is saved at "
            f"the half of them and killed at three quarters."
        )
    if node["weights"] not in SMOKE_WEIGHTS:
        raise ConfigError(
            f"smoke.weights={types.format_value(node['weights'])} must be one of "
            f"{', '.join(SMOKE_WEIGHTS)}."
        )
    if node["items"] < 1:
        raise ConfigError(f"smoke.items must be 1 or more, got {node['items']}.")
    for key in ("memory_slack", "resume_slack"):
        if node[key] is not None and not 0 <= node[key] < float("inf"):
            raise ConfigError(f"smoke.{key} must be 0 or more, got {node[key]}.")
    peak = config["train"]["peak_tflops"]
    if peak is not None and not 0 < peak < float("inf"):
        raise ConfigError(
            f"train.peak_tflops must be positive, got {peak}. null takes the device's own."
        )


def check_arm(config: Mapping[str, Any]) -> None:
    """Refuses an override that contradicts what the arm fixes."""
    for path, fixed in config["fixes"].items():
        value = config["choices"].get(path)
        if value is None:
            value = lookup_path(config, path)
        if value != fixed:
            raise ConfigError(
                f"{path}={value} contradicts arm={config['arm']}, which fixes {path}={fixed}. "
                f"Drop the override or choose another arm."
            )


def check_names(config: Mapping[str, Any]) -> None:
    """Refuses a study that is no folder's name, and a root that is no folder."""
    study, root = config["study"], config["root"]
    for name in study if isinstance(study, list) else [study]:
        if name is not None and not re.fullmatch(r"\w[\w.+-]*", str(name)):
            raise ConfigError(
                f"study={types.format_value(name)} must be a folder's name: letters, digits, _ . "
                f"+ -. "
                f"Use root=FOLDER to put studies elsewhere."
            )
    if not isinstance(root, str) or not root:
        raise ConfigError(
            f"root={types.format_value(root)} must be a folder. Use root=. for this one."
        )
    if not root.isprintable():
        raise ConfigError(f"root={types.format_value(root)} must be printable text on one line.")
    if not isinstance(config["references"], bool):
        raise ConfigError(
            f"references={types.format_value(config['references'])} must be true or false."
        )


def check_finite(config: Mapping[str, Any]) -> None:
    """Refuses an infinite number, or one that is none, wherever it stands."""
    for path, value in types.walk_leaves("", config):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{path}={value} must be a finite number.")


RULES: Sequence[Callable[[Mapping[str, Any]], None]] = (
    check_bounds, check_seed, check_estimate, check_cluster, check_code_choice, check_status,
    check_withdrawal, check_adoption, check_smoke,
    check_placements, check_deepspeed, check_kernel_settings, check_arm, check_names, check_loss,
    check_loss_schedule, check_schedule, check_tracker, check_geometries,
    check_token_ratios, check_finite, check_compression,
    check_none_choices, check_logits, check_matched_parts, check_answers, check_reading,
    check_on_policy,
)  # fmt: skip
"""In the order in which they are asked; the first that is broken is what the user reads."""
