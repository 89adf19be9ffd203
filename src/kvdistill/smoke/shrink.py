"""An arm's config as a smoke job runs it: few steps and items, its shapes as they are.

Batch, length, models' shapes, rooms, placement and cluster stay. With `smoke.weights=random` the
models are drawn, and the texts are made up at their full length, which is what the plan reckons
with; so nothing is downloaded.
"""

import copy
from collections.abc import Mapping
from typing import Any

from kvdistill.config.compose import Config, compose
from kvdistill.config.schema import SmokeSettings, read_group
from kvdistill.plan.budget import global_batch

RANDOM = "random"
LINES = 4
"""Of the curves; the first holds what is set up once, and is not judged."""
CALIBRATION_ROWS = 64
RECORDS = 60
"""A family, of which there are seven: enough for every part of the split."""
RANDOM_WEIGHTS = "kvdistill.smoke.random_weights.RandomWeights"
FULL_LENGTH = "kvdistill.data.sources.full_length.FullLength"
LLAMA = "llama"


def shrink_config(config: Config, settings: SmokeSettings) -> Config:
    """The config of a trained arm for `settings.steps` steps."""
    small = copy.deepcopy(config)
    budget, steps = read_group("budget", config["budget"]), settings.steps
    small["budget"]["total_tokens"] = steps * global_batch(budget) * budget.seq_len
    train = small["train"]
    train |= {
        "logging_steps": steps // LINES, "eval_steps": steps, "save_steps": steps // 2,
        "eval_texts": min(train["eval_texts"], 2 * budget.batch_size), "eval_tasks": 0,
        "calibration_rows": min(train["calibration_rows"], CALIBRATION_ROWS),
        "report_to": "none",
    }  # fmt: skip
    if settings.weights == RANDOM:
        small["student"] = draw_model(config["student"], 0)
        nodes = enumerate(config["teachers"].items(), start=1)
        small["teachers"] = {name: draw_model(node, seed) for seed, (name, node) in nodes}
        small["data"] = make_data(config)
        backend = config["tasks"]["backend"]
        small["tasks"] = compose(["tasks=quick"])["tasks"] | {"backend": backend}
        for style in list_styles(small):
            style["chat"] = False  # a made-up tokenizer has no chat template
    small["tasks"]["limit"] = settings.items
    if "wait" in small["cluster"]:
        small["cluster"]["wait"] = True  # what is not there yet cannot be judged
    return small


def draw_model(node: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """A model's node with drawn weights in the place of its own."""
    kept = {key: value for key, value in node.items() if key not in ("build", "reads_as")}
    architecture = choose_architecture(node)
    weights = {
        "_target_": RANDOM_WEIGHTS, "architecture": architecture, "seed": seed,
        "geometry": dict(node["geometry"]), "max_digits": 3 if architecture == LLAMA else 1,
    }  # fmt: skip
    return kept | {"pretrained": weights, "reads_split": False}


def choose_architecture(node: Mapping[str, Any]) -> str:
    """Which of two: `llama` where the model's source or recipe is one, else `qwen2`."""
    source = node.get("pretrained") or {}
    names = (source.get("hub"), source.get("path"), (node.get("build") or {}).get("architecture"))
    return LLAMA if any(LLAMA in str(name).lower() for name in names) else "qwen2"


def make_data(config: Config) -> dict[str, Any]:
    """The generated data, lengthened to what the run reads at most."""
    data: dict[str, Any] = copy.deepcopy(dict(compose(["data=nano"])["data"]))
    data["source"] = {
        "_target_": FULL_LENGTH,
        "of": data["source"] | {"rows": RECORDS},
        "seq_len": config["budget"]["seq_len"],
        "answer_share": config["estimate"]["answer_share"],
    }
    return data


def list_styles(config: Config) -> list[dict[str, Any]]:
    """The styles that a config reads texts in: its own, and that of a store, where there is one."""
    styles = [config["style"]]

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("stored"), dict) and "style" in node["stored"]:
                styles.append(node["stored"]["style"])
            for value in node.values():
                walk(value)

    walk(config["source"])
    return styles
