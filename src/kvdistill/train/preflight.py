"""Builds all of a run but its weights, so that a refusal comes before anything is queued."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers.trainer_utils import SchedulerType

from kvdistill.config.build import build_node, check_node, resolve_target, try_build
from kvdistill.config.check_texts import describe_missing_rationale
from kvdistill.config.compose import Config
from kvdistill.config.types import list_models
from kvdistill.errors import ConfigError
from kvdistill.geometry import Geometry
from kvdistill.models import load
from kvdistill.models.adapter import Adapter
from kvdistill.models.attention.check_packing import check_packing
from kvdistill.models.attention.small_copy import build_small_copy
from kvdistill.models.check_capture import CaptureRequest, check_capture
from kvdistill.models.geometry import verify_geometry
from kvdistill.plan.graph import find_store_spec
from kvdistill.plan.teaching.signals import matches_kv, reads_answers
from kvdistill.plan.teaching.unread import drop_unread_teachers
from kvdistill.train.answers.check_distributions import (
    check_answer_source,
    check_distributions,
    check_head,
)
from kvdistill.train.check_chat import check_chat
from kvdistill.train.inputs import make_packing
from kvdistill.train.kernels.check_kernels import check_kernels
from kvdistill.train.objective import KVObjective, LossWeights
from kvdistill.train.tracking.environment import check_tracker_package


def check_run_config(config: Config) -> None:
    """Raises ConfigError for what any part of a run refuses of its config; allocates no weights."""
    try_build("tasks", config["tasks"])
    check_scoring_processes(config)
    try_build("data.source", config["data"]["source"])
    for path, node in list_models(config).items():
        load.read_dtype(node, path)
        for part in ("build", "pretrained"):
            if part in node:
                try_build(f"{path}.{part}", node[part])
    check_chat(config)
    if config["trained"]:
        check_training(config)


def check_scoring_processes(config: Config) -> None:
    """Raises ConfigError where vLLM, which scores in one process, would be asked by several."""
    inline = config["cluster"]["evaluation"]["job"] == "inline" and config["trained"]
    ranks = config["budget"]["num_gpus"]
    if config["tasks"]["backend"] == "vllm" and inline and ranks > 1:
        raise ConfigError(
            f"tasks.backend=vllm scores in one process, but cluster.evaluation.job=inline has the "
            f"{ranks} of budget.num_gpus score what they trained. Use cluster.evaluation.job=auto, "
            "which scores in a job of its own, or tasks.backend=hf."
        )


def check_training(config: Config) -> None:
    """Raises ConfigError for what a strategy, tracker or the schedule refuses."""
    try_build("style", config["style"])
    if (fault := describe_missing_rationale(config)) is not None:
        raise ConfigError(fault)
    check_source(config)
    # What only its answers are taken of is loaded in a job of its own.
    config = drop_unread_teachers(config)
    # TrainingArguments would refuse it too, but only once a job has started.
    schedules = [each.value for each in SchedulerType]
    if config["train"]["lr_scheduler_type"] not in schedules:
        raise ConfigError(
            f"train.lr_scheduler_type={config['train']['lr_scheduler_type']} is none of "
            f"{', '.join(schedules)}. Choose one of them."
        )
    check_tracker_package(config["train"]["report_to"])
    check_kernels(config["train"])
    LossWeights.from_config(config)
    if (spec := find_store_spec(config["source"])) is not None:
        try_build("source.stored", spec)
    adapter: Adapter = build_node("adapter", config["adapter"])
    if reads_answers(config):
        check_teachers_answers(config)
    if matches_kv(config):
        # On meta, tensors have shapes alone: projections of large models cost nothing here.
        with torch.device("meta"):
            objective = KVObjective(config)
        check_teachers(config, objective)
        check_student(config, objective, adapter)
    elif (student := read_config(config["student"], "student")) is not None and adapter.frozen:
        adapter.wrap(build_small_copy(student, 1))
    # Last: who cannot be read at all is not helped by other rows.
    check_packed_models(config)


def read_config(node: Mapping[str, Any], role: str) -> Any | None:
    """A model's transformers config where it is at hand, compared with its YAML; else None."""
    key = "build" if "build" in node else "pretrained"
    geometry = Geometry.from_node(node)
    config = build_node(f"{role}.{key}", node[key]).read_config(geometry)
    if config is not None:
        verify_geometry(geometry, config, f"{role}.geometry")
    return config


def check_teachers(config: Config, objective: KVObjective) -> None:
    """Raises ConfigError for a teacher whose K and V a run cannot read."""
    for name, branch in objective.get_branches().items():
        role, pipeline = f"teachers.{name}", branch.pipeline
        layers = sorted({n for pair in pipeline.layer_pairs for n in pair.teacher_layers})
        if (teacher := read_config(config["teachers"][name], role)) is not None:
            request = CaptureRequest(
                role, layers, pipeline.compression.needs_attention, pipeline.position.needs_rotary
            )
            check_capture(teacher, request)


def check_teachers_answers(config: Config) -> None:
    """Raises ConfigError where a teacher's next-token distributions cannot be had or compared."""
    check_distributions(config)
    check_answer_source(config)
    for name, node in config["teachers"].items():
        role = f"teachers.{name}"
        if (teacher := read_config(node, role)) is not None:
            check_head(teacher, role)


def check_packed_models(config: Config) -> None:
    """Raises ConfigError for a model that mixes up texts which share a row, where any do."""
    packing = make_packing(config)
    if packing is None:
        return
    models = list_models(config)
    # What is stored was read before, a row a text.
    if find_store_spec(config["source"]) is not None:
        models = {"student": models["student"]}
    for role, node in models.items():
        if (model := read_config(node, role)) is not None:
            check_packing(model, role, packing)


def check_student(config: Config, objective: KVObjective, adapter: Adapter) -> None:
    """Raises ConfigError for a student whose K and V a run cannot read or train."""
    if (student := read_config(config["student"], "student")) is not None:
        position = objective.first_branch.pipeline.position
        request = CaptureRequest("student", objective.layers, needs_rotary=position.needs_rotary)
        check_capture(student, request, adapter)


def check_source(config: Config) -> None:
    """Raises ConfigError for settings of a source.

    Its fields are checked without building it, which would need a teacher's weights.
    """
    check_node("source", config["source"])
    min_texts = resolve_target("source", config["source"]).min_texts
    texts = config["budget"]["batch_size"]
    if texts < min_texts:
        raise ConfigError(
            f"budget.batch_size={texts} must be at least {min_texts} for "
            f"source={config['choices']['source']}, which reads other texts of the micro-batch."
        )


def check_all(configs: Sequence[Config]) -> None:
    """Raises ConfigError with the first refusal of any of the configs."""
    for config in configs:
        check_run_config(config)
