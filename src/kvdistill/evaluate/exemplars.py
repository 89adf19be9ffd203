"""The worked examples of published protocols, read where the installed lm-eval ships them.

MATH's four (Lewkowycz et al. 2022, arXiv 2206.14858) and BBH's three a subtask (Suzgun et al.
2022, arXiv 2210.09261). Both are told by digest, so that another release of lm-eval with other
examples is refused by name and never another protocol under the same one.
"""

import ast
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from kvdistill.errors import ConfigError

MATH_DIGEST = "27817128759ce9d1"
BBH_DIGEST = "1b4023e5380aa6a4"
"""The first digits of the SHA-256 of the examples as sorted JSON."""
MATH_ANSWER = re.compile(r"The final answer is \$(.*)\$\. I hope it is correct\.$")
BBH_ANSWER = re.compile(r"So the answer is (.*?)\.?$", re.DOTALL)
Shot = dict[str, str]


@lru_cache(maxsize=1)
def read_math_shots() -> list[Shot]:
    """MATH's four: `problem`, `solution` and the `answer` in its box.

    Raises ConfigError where lm-eval does not ship them, or others.
    """
    path = locate_lm_eval() / "minerva_math/utils.py"
    # Parsed, not imported: the module asks for an antlr that Hydra cannot live with.
    tree = ast.parse(read_shipped(path))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "list_fewshot_samples":
            value = node.body[-1].value  # type: ignore[attr-defined]  # its return
            samples = ast.literal_eval(value)
            check_digest(samples, MATH_DIGEST, path)
            return [
                {
                    "problem": sample["problem"],
                    "solution": sample["solution"],
                    "answer": extract_group(MATH_ANSWER, sample["solution"]),
                }
                for sample in samples
            ]
    raise ConfigError(f"{path} has no list_fewshot_samples. {name_way_out()}")


@lru_cache(maxsize=1)
def read_bbh_shots(subjects: Collection[str]) -> Mapping[str, tuple[str, list[Shot]]]:
    """Subtask -> (what its prompt begins with, its three examples: `input`, `target`, `answer`).

    Raises ConfigError where lm-eval does not ship them, or others.
    """
    folder = locate_lm_eval() / "bbh/cot_fewshot"
    nodes = {name: yaml.safe_load(read_shipped(folder / f"{name}.yaml")) for name in subjects}
    facts = {
        name: [node["description"], node["fewshot_config"]["samples"]]
        for name, node in nodes.items()
    }
    check_digest(facts, BBH_DIGEST, folder)
    return {
        name: (description.strip(), [parse_bbh_shot(sample) for sample in samples])
        for name, (description, samples) in facts.items()
    }


def parse_bbh_shot(sample: Mapping[str, str]) -> Shot:
    """An example with the `answer` that its reasoning ends with."""
    target = sample["target"]
    return {"input": sample["input"], "target": target, "answer": extract_group(BBH_ANSWER, target)}


def extract_group(pattern: re.Pattern[str], text: str) -> str:
    """What the pattern's group holds in the text; empty where it is not there."""
    match = pattern.search(text)
    return match.group(1) if match else ""


def locate_lm_eval() -> Path:
    """The folder of the installed lm-eval's tasks. Raises ConfigError without one."""
    spec = find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"lm-eval is not installed. {name_way_out()}")
    return Path(spec.submodule_search_locations[0]) / "tasks"


def read_shipped(path: Path) -> str:
    """A file of the installed lm-eval. Raises ConfigError where it ships none."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}. The examples of a published protocol are read there. "
            f"{name_way_out()}"
        ) from error


def check_digest(examples: Any, digest: str, path: Path) -> None:
    """Raises ConfigError for other examples than those of the protocol."""
    text = json.dumps(examples, sort_keys=True, ensure_ascii=True)
    actual = hashlib.sha256(text.encode()).hexdigest()[: len(digest)]
    if actual != digest:
        raise ConfigError(
            f"{path} has other examples (digest {actual}) than the protocol's ({digest}). "
            f"{name_way_out()}"
        )


def name_way_out() -> str:
    """What helps wherever the examples are not to be had."""
    return "Install lm-eval as constraints.txt has it, or use tasks=seven_zero, without examples."
