"""What one task of a job needs of its node where the user states nothing: GPUs, CPUs, memory."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate
from kvdistill.geometry import Geometry
from kvdistill.plan.graph import RUN_KINDS, Node, find_store_spec
from kvdistill.plan.resources.placement import count_model_bytes
from kvdistill.plan.run_jobs import EVALUATION, TRAINING
from kvdistill.plan.weights.conversion import CONVERSION

ANSWERS = "answers"
COMPUTING = (ANSWERS, "calibration", "kv", *RUN_KINDS, TRAINING, EVALUATION)
"""Kinds of job that compute with models; a model that the project trains itself is a small one."""
GPU_CPUS = 4
"""Threads of a task with a GPU that are busy at once: the main one, autograd's, NCCL's proxy, and
one that collates the next batch."""
STORE_CPUS = 4
"""More where a store is read or written: rows are decoded beside the step."""
BASE_BYTES = 6 * 2**30
"""Of a process with torch, CUDA's context, transformers and the texts."""
SLACK = 1.25
"""On what is counted: page cache, pinned buffers, fragments."""
CPU_JOB_BYTES = 16 * 2**30
"""Of a job without a GPU at a scale that has one: rows of data sets, and their n-grams."""
FLOAT64_BYTES = 8


@dataclass(frozen=True)
class TaskNeeds:
    """Of one task."""

    gpus: int = 0
    cpus: int = 1
    memory_bytes: int | None = None
    """None: what the cluster gives by default."""


def derive_task_needs(node: Node, estimate: Estimate, tasks: int) -> TaskNeeds:
    """Of one of a job's `tasks`, by what it runs and where its models are placed.

    The study is one of GPUs where `estimate.kind` is one or the budget counts several. A model that
    one task scores gets as many as hold it.
    """
    recipe = dict(node.recipe)
    if node.kind == EVALUATION:
        # It scores the student, or a model in that role, and reads no teacher and no store.
        recipe |= {"teachers": {}, "source": {}}
    elif node.kind == ANSWERS:
        # It has one teacher write, as if that were scored.
        (teacher,) = recipe["teachers"].values()
        recipe |= {"student": teacher, "teachers": {}}
    sized = estimate.usable_bytes is not None
    on_gpus = sized or recipe.get("budget", {}).get("num_gpus", 1) > 1
    models = list_models_read(recipe)
    placed = [(model.get("placement") or {}).get("device", "auto") for model in models]
    computes = node.kind in COMPUTING and any(
        device == "cuda" or (on_gpus and device == "auto") for device in placed
    )
    if not computes:
        return TaskNeeds(memory_bytes=count_cpu_job_bytes(node) if sized else None)
    if not sized:
        return TaskNeeds(gpus=1)
    gpus = 1
    usable = estimate.usable_bytes
    if tasks == 1 and usable is not None and node.kind in (EVALUATION, ANSWERS):
        gpus = max(1, math.ceil(count_model_bytes(recipe["student"]) / usable))
        gpus = 2 ** math.ceil(math.log2(gpus))  # heads divide by powers of two
    stores = node.kind == "kv" or find_store_spec(recipe.get("source") or {}) is not None
    # A model that is only evaluated states no shape, so nothing is known of its size.
    known = all(model.get("geometry") is not None for model in models)
    return TaskNeeds(
        gpus=gpus,
        cpus=GPU_CPUS * gpus + (STORE_CPUS if stores else 0),
        memory_bytes=round(SLACK * (BASE_BYTES + count_host_bytes(recipe, tasks)))
        if known
        else None,
    )


def count_cpu_job_bytes(node: Node) -> int:
    """Of a job without a GPU; one that converts a model has it twice while it is put together."""
    if node.kind != CONVERSION:
        return CPU_JOB_BYTES
    model_bytes = count_model_bytes(node.recipe["model"])
    return max(CPU_JOB_BYTES, round(SLACK * (BASE_BYTES + 2 * model_bytes)))


def list_models_read(recipe: Config) -> list[Mapping[str, Any]]:
    """The models that a job loads."""
    return [recipe.get("student", {}), *recipe.get("teachers", {}).values()]


def count_host_bytes(recipe: Config, tasks: int) -> int:
    """What a task's process loads before the GPU has it, at its highest.

    Models pass through the CPU's memory one by one, a student that is trained beside another of
    its own (the raw one, or the exported one that is scored); a calibration's second moments are
    float64.
    """
    student = count_model_bytes(recipe["student"])
    passing = [student if recipe.get("trained") else 0]
    offloaded = 0
    for teacher in recipe.get("teachers", {}).values():
        shard = (teacher.get("placement") or {}).get("shard", "none")
        size = count_model_bytes(teacher)
        # Under ZeRO-3 a shard of the file after the other is read, never the whole.
        passing.append(size if shard == "none" else size // tasks)
        offloaded += size // tasks if shard == "zero3_offload" else 0
        passing.append(count_moments_bytes(recipe, teacher))
    return student + max(passing) + offloaded


def count_moments_bytes(recipe: Config, teacher: Mapping[str, Any]) -> int:
    """Of one teacher's second moments: of K and of V, fitted, held out and shuffled.

    Each student layer faces two of the teacher's at most, side by side.
    """
    student, geometry = Geometry.from_node(recipe["student"]), Geometry.from_node(teacher)
    width = geometry.kv_width * (1 if geometry.layers == student.layers else 2)
    numbers = width * width + width * student.kv_width + student.kv_width**2
    return 6 * student.layers * numbers * FLOAT64_BYTES
