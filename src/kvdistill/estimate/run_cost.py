"""What a plan would cost: operations from geometries, hours from conf/estimate/.

No torch and no network. Texts are reckoned at their full length and a teacher's tokens as many as
the student's, so the truth is lower; calibration and evaluation during training are left out.
"""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate, Gpu, read_group
from kvdistill.estimate.evaluation_cost import count_task_items, estimate_scoring
from kvdistill.geometry import Geometry
from kvdistill.plan import flops
from kvdistill.plan.budget import global_batch
from kvdistill.plan.graph import find_store_spec
from kvdistill.plan.matching.count_texts import count_texts
from kvdistill.plan.matching.run_flops import (
    count_cache_flops,
    count_own_flops,
    count_student_flops,
    count_training_flops,
    list_layers_read,
)
from kvdistill.plan.resources.run_memory import STORED_BYTES, read_answer_share
from kvdistill.plan.teaching.answers import list_answering_teachers
from kvdistill.plan.teaching.signals import matches_kv, reads_answers


@dataclass(frozen=True)
class Cost:
    """Operations, by what they are for."""

    tokens: int = 0
    """Read by the student in training."""
    student: int = 0
    teachers: int = 0
    evaluation: int = 0
    decoded_bytes: int = 0
    """That writing answers reads of the memory."""
    launch_s: float = 0.0
    """Seconds that it takes at least, to launch what its steps compute."""
    written_bytes: int = 0
    """The same two of answers that are trained on, or that teachers are compared with on."""
    written_launch_s: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def hours(self, gpu: Gpu, estimate: Estimate) -> float:
        """GPU-hours at the stated utilisation."""
        rate = gpu.peak_tflops * 1e12 * 3600
        trained = (self.student + self.teachers) / (rate * estimate.utilisation)
        written = max(self.written_bytes / (gpu.memory_gb_s * 1e9), self.written_launch_s) / 3600
        return trained + written + self.evaluation_hours(gpu, estimate)

    def evaluation_hours(self, gpu: Gpu, estimate: Estimate) -> float:
        """Those of scoring: reading at the stated utilisation, writing by its bytes.

        Writing takes the bytes over the bandwidth, or the launches where those take longer.
        """
        read = self.evaluation / (gpu.peak_tflops * 1e12 * estimate.utilisation)
        streamed = self.decoded_bytes / (gpu.memory_gb_s * 1e9)
        return (read + max(streamed, self.launch_s)) / 3600


def estimate_run(config: Config, steps: int, estimate: Estimate) -> Cost:
    """One run: training, if it trains, and scoring. What it reads from a store is paid there."""
    scoring = estimate_scoring(config, estimate)
    scored = Cost(
        evaluation=scoring.flops,
        decoded_bytes=scoring.decoded_bytes,
        launch_s=scoring.launch_s,
    )
    if not config["trained"]:
        return scored
    budget = read_group("budget", config["budget"])
    tokens = steps * global_batch(budget) * budget.seq_len
    load = flops.TokenLoad.nominal(tokens, budget.seq_len)
    trained = count_student_flops(config, load)
    own = count_own_flops(config)
    # What is stored was read once, and is paid for by the store; answers are likewise.
    taught = count_training_flops(config, load) + steps * own.teachers
    return Cost(tokens, trained + steps * own.student, taught) + scored


def estimate_store(config: Config, teacher: Mapping[str, Any]) -> Cost:
    """Filling one teacher's store of K and V: it reads each of the student's texts once."""
    seq_len = config["budget"]["seq_len"]
    load = flops.TokenLoad.nominal(count_texts(config) * seq_len, seq_len)
    return Cost(teachers=count_cache_flops(config, teacher, load))


def estimate_states(config: Config, teacher: Mapping[str, Any]) -> Cost:
    """The same of a store of the last states of answers."""
    seq_len = config["budget"]["seq_len"]
    load = flops.TokenLoad.nominal(count_texts(config) * seq_len, seq_len)
    return Cost(teachers=flops.decoder_flops(Geometry.from_node(teacher), load))


def count_items(config: Config, estimate: Estimate) -> dict[str, int]:
    """Items of the tasks in the macro average; a task of unknown size is left out."""
    tasks = config["tasks"]
    counts = {task: count_task_items(task, tasks["limit"], estimate) for task in tasks["tasks"]}
    return {task: count for task, count in counts.items() if count}


def count_epochs(config: Config, steps: int) -> float:
    """How often training reads each text; of teachers' answers as if all were trained on."""
    texts = count_texts(config) * max(1, len(list_answering_teachers(config)))
    return steps * global_batch(read_group("budget", config["budget"])) / texts


def estimate_store_bytes(config: Config, teacher: Mapping[str, Any]) -> int:
    """A teacher's K and V over the student's texts, each at its full length."""
    tokens = count_texts(config) * config["budget"]["seq_len"]
    keep = config["compression"].get("keep", 1.0)
    # keep: a share as a float, tokens as a whole number (compression/base.py).
    share = keep if isinstance(keep, float) else min(1.0, keep / config["budget"]["seq_len"])
    spec = find_store_spec(config["source"])
    each = STORED_BYTES[spec["dtype"] if spec else "bfloat16"]
    layers = len(list_layers_read(config, teacher))
    return round(2 * tokens * share * layers * Geometry.from_node(teacher).kv_width * each)


def estimate_states_bytes(config: Config, teacher: Mapping[str, Any]) -> int:
    """The last states of a teacher's answers over the student's texts at their full length."""
    tokens = count_texts(config) * config["budget"]["seq_len"] * read_answer_share(config)
    spec = find_store_spec(config["source"])
    each = STORED_BYTES[spec["states"] if spec else "bfloat16"]
    return round(tokens * Geometry.from_node(teacher).hidden_size * each)


def estimate_stored_bytes(config: Config, teacher: Mapping[str, Any]) -> int:
    """All that a run reads of a teacher, or would, from stores."""
    cache = estimate_store_bytes(config, teacher) if matches_kv(config) else 0
    return cache + (estimate_states_bytes(config, teacher) if reads_answers(config) else 0)


def read_free_bytes(root: Path) -> int:
    """Room where artefacts will lie."""
    existing_folder = next(path for path in (root, *root.resolve().parents) if path.is_dir())
    return shutil.disk_usage(existing_folder).free


def estimate_wall_hours(hours: Iterable[float], at_once: int) -> float:
    """How long jobs of these lengths take, so many at a time: the longest first."""
    slots = [0.0] * max(at_once, 1)
    for each in sorted(hours, reverse=True):
        # Longest first into the emptiest slot: within 4/3 of the best packing (Graham 1969).
        slots[slots.index(min(slots))] += each
    return max(slots)
