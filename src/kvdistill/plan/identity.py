"""What a run is: the hash of its science, the same on every machine.

Science is what can change a result: models, data, rooms, budget, schedule, tasks, seed.
Execution (where and how it runs, names, labels, paths, logging) never enters.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from kvdistill.config.clip_norm import scale_clip_norm
from kvdistill.config.compose import Config
from kvdistill.config.schema import Budget, lookup_path
from kvdistill.errors import ConfigError
from kvdistill.layers.teacher_rooms import drop_own_rooms, list_own_rooms
from kvdistill.plan.budget import global_batch
from kvdistill.plan.hub_models import PRETRAINED, walk_mappings
from kvdistill.plan.teaching.answers import (
    ANSWER_SETTINGS,
    answer_version,
    select_answer_science,
)
from kvdistill.plan.teaching.on_policy import select_on_policy_science
from kvdistill.plan.teaching.reading import source_science

IDENTITY_VERSION = 2  # 2: shuffled and random act on what compression kept
CAPTURE_VERSION = 2  # 2: shards state the digests of their texts
"""Of what fills a teacher-KV store: capture, compression and the store's own layout.

Raise it with any change of theirs that gives other tensors.
"""

HALF_VERSION = 2  # 2: K and V leave their projection without its bias
"""Of K and V that are computed in half precision; in float32 they are what they always were."""

SCALE_VERSION = 2  # 2: as the model's own attention scales them
"""Of the logits that SCALED presses score by."""

SCALED = tuple(
    f"kvdistill.compression.{press}"
    for press in (
        "expected_attention.ExpectedAttention", "h2o.H2O", "kava.Kava", "r_kv.RKV",
        "snap_kv.SnapKV",
    )
)  # fmt: skip
"""Presses that were there before SCALE_VERSION 2; a later one never scored otherwise."""

READER_VERSION = 2  # 2: markup is stripped, answers are one value, conflicting duplicates go
"""Of what makes records of the rows of files; generated records have none.

Raise it with any change there that gives other texts.
"""

TOKENS_VERSION = 2  # 2: BOS where a tokenizer adds it; special tokens in users' texts are text
"""Of how the tokenizers of pretrained models read texts; those made here have no special tokens.

Raise it with any change there that gives other tokens.
"""

INTRODUCED: dict[str, Any] = {
    "adapter": {"_target_": "kvdistill.models.full_finetune.Whole"},
    "compression.heads": "mean",
    "loss.tokens": {"_target_": "kvdistill.loss.tokens.every_token.EveryToken"},
    "loss.schedule": {"_target_": "kvdistill.loss.schedule.steady.Steady"},
    "states": "bfloat16",
    "train.group_by_length": False,
    "train.tf32": False,
    "tasks.backend": "hf",
    "tasks.versions": {},
    "tasks.counterparts": False,
    "data.leakage.template": "report",
    "data.split.conflicts": "drop",
    "style.date": None,
    "tasks.date": None,
}
"""Options added since version 1, by science path, with the value that means "as before".

A path counts from the last of `NESTED` in it: a style is one wherever it stands.

A field equal to it is left out, so that a new option forks no finished run.
"""

NESTED = ("build.", "stored.")
"""What groups stand below that also stand at the top: a model's or a store's own style."""

MOVED = {
    "kvdistill.models.full_finetune.Whole": "kvdistill.models.whole.Whole",
    "kvdistill.models.layer_pruning.Pruned": "kvdistill.models.pruned.Pruned",
    "kvdistill.models.layer_pruning.Cut": "kvdistill.models.cut.Cut",
    "kvdistill.data.prompt_style.Style": "kvdistill.data.styles.Style",
}
"""Class of a `_target_` -> where it stood when it was introduced.

A class that only moves is the same science, so its first path stays in every identity.
"""

ROOMS = (
    "style", "source", "compression", "alignment", "projection", "layers", "position", "kv",
    "fusion", "loss", "adapter",
)  # fmt: skip

TRAIN_EXECUTION = {
    "logging_steps", "eval_steps", "save_steps", "norm_steps", "eval_texts", "eval_tasks",
    "eval_items", "report_to", "deepspeed", "packing", "peak_tflops",
    "attn_implementation", "torch_compile", "linear_ce", "deterministic", "keep_model",
}  # fmt: skip
MODEL_EXECUTION = {"name", "placement", "reads_as", "tokens_per_student_token"}
TASKS_EXECUTION = {"data_root", "revisions"}
"""Rows are told by their hash in the results, wherever they come from."""
STATED_BATCH = 16
"""What suites stated before `auto`, and so what `auto` is in an identity: the size is execution."""
READS_ROWS = {"path", "parts"}
"""Fields of the sources that read rows of files."""
DATA_EXECUTION = {"validate_only", "root"} | ANSWER_SETTINGS
"""`data.root` reaches the source, where it is told by content; answers are no part of a split."""


def science_of(config: Config) -> dict[str, Any]:
    """The part of a resolved config that can change its results."""
    fields: dict[str, Any] = {
        "version": IDENTITY_VERSION,
        "student": model_science(config["student"]),
        "data": data_science(config),
        "tasks": tasks_science(config),
        **tokens_science([config["student"], *(config["teachers"] or {}).values()]),
    }
    if config["trained"]:
        budget = Budget(**config["budget"])
        fields |= {room: config[room] for room in ROOMS}
        fields["source"] = source_science(config["source"])
        fields["data"] |= select_answer_science(config)
        fields |= answer_version(config) | select_on_policy_science(config)
        fields["seed"] = config["seed"]
        # By order, not by role's name: two sets that call the same teachers otherwise are one
        # science.
        fields["teachers"] = [
            {**model_science(node), **list_own_rooms(config, node)}
            for node in config["teachers"].values()
        ]
        fields["train"] = without(config["train"], TRAIN_EXECUTION)
        fields |= clip_science(config) | scale_science(config["compression"])
        fields |= logits_science(config)
        if config["teachers"]:
            nodes = [config["student"], *config["teachers"].values()]
            fields |= half_science(nodes, autocast=config["train"]["bf16"])
        fields["budget"] = {
            "total_tokens": budget.total_tokens,
            "seq_len": budget.seq_len,
            # How the batch is divided over GPUs and micro-batches is execution.
            "global_batch": global_batch(budget),
        }
    return leave_out_defaults(fields)


def run_identity(config: Config) -> str:
    """Twelve hex digits that name the run."""
    return hash_science(science_of(config))


def recipe_identity(config: Config) -> str:
    """The identity without the seed: runs of one recipe are replicates of each other."""
    return hash_science({key: value for key, value in science_of(config).items() if key != "seed"})


def trial_identity(config: Config) -> str:
    """Twelve hex digits that name a trial: a run's science, but for tasks, of which it asks none.

    Another kind of thing than the run that would be trained alike.
    """
    return hash_science({"kind": "trial", **without(science_of(config), {"tasks"})})


def trial_recipe(config: Config) -> str:
    """The same without the seed."""
    return hash_science({"kind": "trial", **without(science_of(config), {"tasks", "seed"})})


def model_science(node: Mapping[str, Any]) -> Any:
    """What of a student's or teacher's node can change its weights or outputs."""
    return leave_out_defaults(identify_by_content(without(drop_own_rooms(node), MODEL_EXECUTION)))


def clip_science(config: Config) -> dict[str, float]:
    """The bound on the gradient's norm where it is not `train.max_grad_norm` itself."""
    logits_weight = (config.get("logits") or {}).get("weight", 0.0)
    bound = scale_clip_norm(config["train"]["max_grad_norm"], config["loss"], logits_weight)
    return {"clip_norm": bound} if bound != config["train"]["max_grad_norm"] else {}


def logits_science(config: Config) -> dict[str, Any]:
    """The logits group where it acts: a weight of 0 is the training that there was before it."""
    # A plan that was frozen before there were distributions has none.
    logits = config.get("logits") or {}
    return {"logits": logits} if logits.get("weight") else {}


def half_science(nodes: Iterable[Mapping[str, Any]], *, autocast: bool = False) -> dict[str, int]:
    """The version of K and V in half precision, where any of these models computes in it."""
    half = autocast or any(node.get("dtype", "float32") != "float32" for node in nodes)
    return {"half": HALF_VERSION} if half else {}


def scale_science(compression: Mapping[str, Any]) -> dict[str, int]:
    """The version of the logits that a press scores by, where it has scored by others."""
    return {"scale": SCALE_VERSION} if compression.get("_target_") in SCALED else {}


def tokens_science(nodes: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """The version of how texts are read, where any of these models has a tokenizer of its own."""
    pretrained = any(
        inner.get("_target_") == PRETRAINED for node in nodes for inner in walk_mappings(node)
    )
    return {"tokens": TOKENS_VERSION} if pretrained else {}


def tokenizer_science(node: Mapping[str, Any]) -> Any:
    """What of a model's node can change how it reads a text.

    Its YAML names the fields (`reads_as`); without that it is whatever makes its weights.
    """
    paths = node.get("reads_as")
    if paths is None:
        made_by = {key: node[key] for key in ("build", "pretrained") if key in node}
        return leave_out_defaults(identify_by_content(made_by))
    return leave_out_defaults(
        identify_by_content({path: lookup_path(node, path) for path in paths})
    )


def data_science(config: Config) -> Any:
    """What of the data can change a split."""
    node = identify_by_content(without(config["data"], DATA_EXECUTION))
    science = leave_out_defaults(node, "data.")
    reads_rows = READS_ROWS & set(config["data"]["source"])
    return {"reader": READER_VERSION, **science} if reads_rows else science


def compression_science(config: Config) -> Any:
    """What of the compression can change which tokens are kept."""
    science = leave_out_defaults(config["compression"], "compression.")
    return {**science, **scale_science(config["compression"])}


def tasks_science(config: Config) -> Any:
    """What of the suite can change a score."""
    tasks = without(config["tasks"], TASKS_EXECUTION)
    if tasks.get("batch_size") == "auto":
        tasks["batch_size"] = STATED_BATCH
    return identify_by_content(tasks)


def without(node: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """The mapping less these keys."""
    return {key: value for key, value in node.items() if key not in keys}


def identify_by_content(node: Any) -> Any:
    """Local files are told by their sha256 (put beside the path when the plan was made)."""
    if isinstance(node, Mapping):
        location_keys = {"path", "root"} if node.get("sha256") is not None else set()
        return {k: identify_by_content(v) for k, v in node.items() if k not in location_keys}
    if isinstance(node, list):
        return [identify_by_content(value) for value in node]
    return node


def leave_out_defaults(node: Any, prefix: str = "") -> Any:
    """Leaves out every field that equals its introduction default."""
    if not isinstance(node, dict):
        return node
    for group in NESTED:
        prefix = prefix.rpartition(group)[2]
    return {
        key: leave_out_defaults(value, f"{prefix}{key}.")
        for key, value in node.items()
        # Only at its introduction value: an edited default is other science.
        if f"{prefix}{key}" not in INTRODUCED or INTRODUCED[f"{prefix}{key}"] != value
    }


def hash_science(value: Any) -> str:
    """First twelve hex digits of the sha256 of the canonical JSON."""
    # ASCII, sorted, no spaces: the same bytes on every machine, locale and Python.
    text = json.dumps(canonicalise(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def canonicalise(value: Any, path: str = "") -> Any:
    """The value itself, checked. Raises TypeError on what another process might write otherwise.

    And ConfigError for an infinite number or none.
    """
    if isinstance(value, Mapping):
        # A YAML key may be a number (layers.map.anchors); as text it sorts the same everywhere.
        return {str(key): canonicalise(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [canonicalise(item, f"{path}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, str):
        return MOVED.get(value, value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return {"float": value.hex()}  # so that keep=1 (a token) and keep=1.0 (all) differ
    if isinstance(value, float):
        raise ConfigError(f"{path.lstrip('.')}={value} must be a finite number.")
    raise TypeError(f"{path.lstrip('.')}={value!r} ({type(value).__name__}) has no canonical form.")
