"""What training one run takes, from its config alone, each text at its full length.

A teacher is counted as read anew with every batch, also where a store has its K and V: a store
saves that work for whoever shares it, and how many share it is no property of a run.
"""

from collections.abc import Mapping
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.config.schema import read_group
from kvdistill.geometry import Geometry
from kvdistill.layers.from_config import pair_layers
from kvdistill.plan import flops
from kvdistill.plan.budget import global_batch
from kvdistill.plan.graph import find_store_spec
from kvdistill.plan.matching.score_flops import count_score_flops


def count_step_flops(config: Config) -> int:
    """Operations of one optimiser step: the student's, and those of all its teachers."""
    budget = read_group("budget", config["budget"])
    load = flops.TokenLoad.nominal(global_batch(budget) * budget.seq_len, budget.seq_len)
    taught = sum(count_capture_flops(config, node, load) for node in config["teachers"].values())
    return count_student_flops(config, load) + taught


def count_student_flops(config: Config, load: flops.TokenLoad) -> int:
    """The student's forward and backward over a load, with what checkpointing computes again."""
    student = Geometry.from_node(config["student"])
    trained = flops.training_flops(student, load)
    if config["train"]["gradient_checkpointing"]:
        trained += flops.recomputation_flops(student, load)
    return trained


def count_token_flops(config: Config) -> dict[str, int]:
    """Operations that one token asks of the student and of each teacher that reads, as MFU has it.

    6 a weight of the student, its head among them (4 where its weights are frozen), and 2 a weight
    of a teacher up to its deepest layer that a step needs (Kaplan et al. 2020, arXiv 2001.08361).
    Attention's own products are left out, and so is what checkpointing computes again. A teacher
    that a store speaks for does not read.
    """
    one = flops.TokenLoad(1, 0)
    student = Geometry.from_node(config["student"])
    # Every adapter with a rank leaves the model's own weights frozen.
    frozen = config["adapter"].get("rank") is not None
    counts = {"student": flops.training_flops(student, one, frozen=frozen)}
    if find_store_spec(config["source"]) is None:
        for name, teacher in config["teachers"].items():
            deepest = max(list_layers_read(config, teacher))
            counts[name] = flops.capture_flops(Geometry.from_node(teacher), one, deepest)
    return counts


def count_capture_flops(config: Config, teacher: Mapping[str, Any], load: flops.TokenLoad) -> int:
    """A teacher's forward over a load up to the deepest layer that a step needs, and its scores."""
    geometry, layers = Geometry.from_node(teacher), list_layers_read(config, teacher)
    scored = count_score_flops(config["compression"], geometry, load)
    return flops.capture_flops(geometry, load, max(layers)) + len(layers) * scored


def list_layers_read(config: Config, teacher: Mapping[str, Any]) -> list[int]:
    """The teacher's layers whose K and V a step needs, from 0."""
    sources = pair_layers(config, Geometry.from_node(teacher))
    return sorted({layer for source in sources for layer in source.teacher_layers})
