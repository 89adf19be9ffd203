"""Rules of the cluster group and of what an arm asks of SLURM; called from check_values.py."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from omegaconf import OmegaConf

from kvdistill.config.sbatch_options import check_sbatch_options
from kvdistill.config.schema import Resources
from kvdistill.config.structured import to_dataclass
from kvdistill.errors import ConfigError

POSITIVE = (
    "time_min", "nodes", "cpus", "threads", "array_throttle", "max_array", "signal_s",
    "max_timeouts", "max_parallel",
)  # fmt: skip
"""Whole numbers of at least 1 where they are given."""
ONE_LINE = ("partition", "account", "qos", "constraint", "sbatch", "container", "python")
NOT_NEGATIVE = ("gpus", "max_retries")
EVALUATION_JOBS = ("auto", "own", "inline")


def list_texts(value: Any) -> list[str]:
    """The texts of a setting: itself, those of a list, or none."""
    return [str(each) for each in value] if isinstance(value, list) else [str(value or "")]


def check_cluster_settings(node: Mapping[str, Any], path: str = "cluster") -> None:
    """Refuses numbers out of bounds, and resources of a kind that are none."""
    for names, least in ((POSITIVE, 1), (NOT_NEGATIVE, 0)):
        for name in names:
            if node.get(name) is not None and node[name] < least:
                raise ConfigError(f"{path}.{name} must be at least {least}, got {node[name]}.")
    if node.get("time_min") == 1:
        raise ConfigError(
            f"{path}.time_min must be at least 2, got 1: SLURM may signal a job a minute early."
        )
    if node.get("mem_gb") is not None and node["mem_gb"] <= 0:
        raise ConfigError(f"{path}.mem_gb must be positive, got {node['mem_gb']}.")
    for name in ONE_LINE:
        if any(not text.isprintable() for text in list_texts(node.get(name))):
            raise ConfigError(
                f"{path}.{name}={node[name]!r} must be printable text on one line: it becomes a "
                f"line of the job's script."
            )
    for option in node.get("sbatch") or []:
        if not re.fullmatch(r"--[a-z][a-z-]*(=.+)?", option):
            raise ConfigError(f"{path}.sbatch: {option!r} must read --NAME=VALUE or --NAME.")
    check_evaluation(node.get("evaluation") or {}, f"{path}.evaluation")
    check_sbatch_options(node, path)
    for name, special in (node.get("resources") or {}).items():
        if special is not None:
            kind = read_resources(special, f"{path}.resources.{name}")
            check_sbatch_options({**node, **kind}, f"{path}, with resources.{name}: {path}")


def check_evaluation(node: Mapping[str, Any], path: str) -> None:
    """Refuses a way of scoring runs that is none, and fewer than one process."""
    if node and node["job"] not in EVALUATION_JOBS:
        raise ConfigError(
            f"{path}.job={node['job']} must be one of {', '.join(EVALUATION_JOBS)}: which job "
            f"scores a run once it is trained."
        )
    if node and node["ranks"] < 1:
        raise ConfigError(f"{path}.ranks must be at least 1, got {node['ranks']}.")
    if node and node["job"] == "inline" and node["ranks"] > 1:
        raise ConfigError(
            f"{path}.ranks={node['ranks']} with {path}.job=inline: the processes that train would "
            f"score, however many are asked for. Use {path}.job=own."
        )


def read_resources(node: Any, path: str) -> dict[str, Any]:
    """Some fields of Resources, with their types. Raises ConfigError naming a wrong one."""
    known = {field.name for field in fields(Resources)}
    if not isinstance(node, Mapping) or set(node) - known:
        wrong = next(iter(set(node) - known), node) if isinstance(node, Mapping) else node
        raise ConfigError(
            f"{path}: {wrong} is no resource. Use some of {', '.join(sorted(known))}."
        )
    plain = to_dataclass(Resources, node, path, OmegaConf.to_container)
    resources = {str(name): plain[name] for name in node}
    check_cluster_settings(resources, path)
    return resources
