"""stage=evaluate: scores a finished run, or any causal language model, on a suite.

The results stand in a study of their own, `evaluated-SUITE`, as another suite's tasks would leave
gaps in the study that the run comes from.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.cli.common import JobOverrides
from kvdistill.cli.run import execute_plan
from kvdistill.config.check_files import check_local_path, check_model_folder
from kvdistill.config.check_shape import DTYPES
from kvdistill.config.compose import Config, compose
from kvdistill.config.trust import brings_code, check_trusted_node
from kvdistill.errors import ConfigError
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.find_runs import check_kept_student, find_finished_run
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.pin import pin_config
from kvdistill.plan.study_plan import Question

ARM = "evaluated"


def evaluate_command(job_overrides: JobOverrides, _: Path) -> None:
    """Plans the evaluation of one model and does it. Raises ConfigError for a bad request."""
    config = compose(list(job_overrides[0]))
    base, student, label = read_request(config)
    as_is = pin_config(
        {**base, "arm": ARM, "trained": False, "student": student, "teachers": {}}
        | {
            key: config[key]
            for key in ("tasks", "stats", "cluster", "estimate", "root", "report", "code")
        }
    )
    suite, backend = config["tasks"]["name"], config["tasks"].get("backend", "hf")
    label += f" ({backend})" if backend != "hf" else ""
    plan = Plan(Path(config["root"]), str(config["study"] or f"evaluated-{suite}"), config=as_is)
    run = plan.add(as_is)
    plan.questions["evaluate"] = Question(f"How do these models score on {suite}?")
    plan.place_run("evaluate", label, as_is["seed"], run, automatic=True)
    execute_plan(plan)


def read_request(config: Config) -> tuple[Mapping[str, Any], dict[str, Any], str]:
    """(config of its data, the model's node, its label) of what `evaluate` names."""
    node = config["evaluate"]
    if (node["run"] is None) == (node["model"] is None):
        raise ConfigError(
            f"stage=evaluate needs exactly one of evaluate.run and evaluate.model, got "
            f"{node['run']} and {node['model']}. Name a finished run or a model."
        )
    if node["run"] is not None:
        return read_finished_run(Path(config["root"]), str(node["run"]), config["trust"])
    return config, describe_model(node), str(node["model"])


def describe_model(node: Mapping[str, Any]) -> dict[str, Any]:
    """The node of `evaluate.model`. Raises ConfigError, by the names of `evaluate`, for none."""
    place = str(node["model"])
    if node["dtype"] not in DTYPES:
        raise ConfigError(
            f"evaluate.dtype={node['dtype']} is none of {', '.join(DTYPES)}. Choose one of them."
        )
    if Path(place).exists():
        check_local_path(place, "evaluate.model")
        check_model_folder(place, node["gguf_file"], "evaluate.model", "evaluate.gguf_file")
        if node["gguf_file"] is None and not list(Path(place).glob("*.safetensors")):
            raise ConfigError(
                f"evaluate.model={place} holds no safetensors, and a pickle (.bin, .pt) can run "
                "code when it is read. Convert it: AutoModelForCausalLM.from_pretrained(FOLDER)"
                ".save_pretrained(OTHER)."
            )
        return describe_pretrained(node["dtype"], path=place, gguf_file=node["gguf_file"])
    if not re.fullmatch("[0-9a-f]{40}", str(node["revision"])):
        raise ConfigError(
            f"evaluate.model={place} is no local folder, so a hub repository, which "
            f"evaluate.revision must pin to a commit, got {node['revision']}. Give the commit "
            "hash the hub shows."
        )
    return describe_pretrained(node["dtype"], hub=place, revision=node["revision"])


def read_finished_run(
    root: Path, name: str, trusted: Sequence[str]
) -> tuple[Mapping[str, Any], dict[str, Any], str]:
    """The same of a finished run. Raises ConfigError for one with code that no one trusts."""
    folder = find_finished_run(root, name, "evaluate.run")
    recipe = read_recipe(folder).recipe
    student = recipe["student"]
    if recipe["trained"]:
        check_kept_student(folder, "evaluate.run")
        code = {"trust_remote_code": True} if brings_code(student) else {}
        student = describe_pretrained(student["dtype"], path=str(folder / layout.MODEL), **code)
        # The folder may come from elsewhere, with other code in it than its run has trusted.
        check_trusted_node("evaluate.run", student, trusted)
    return recipe, student, f"{recipe['arm']} {folder.name}"


def describe_pretrained(dtype: str, **place: str | bool | None) -> dict[str, Any]:
    """A model's node; its geometry is whatever it has, as nothing is matched with it."""
    source = {key: value for key, value in place.items() if value is not None}
    return {
        "name": ARM,
        "pretrained": {"_target_": "kvdistill.models.pretrained.Pretrained", **source},
        "geometry": None,
        "dtype": dtype,
        "placement": {"device": "auto", "shard": "none"},
    }
