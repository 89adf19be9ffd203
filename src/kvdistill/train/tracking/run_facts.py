"""What a tracker is told of a run: where it stands in its study, its settings, and its code."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvdistill import layout
from kvdistill.config.compose import Config
from kvdistill.manifest import read_code_origin
from kvdistill.plan.labels.recipe_difference import flatten_config
from kvdistill.plan.study_plan import StudyPlan, walk_arms
from kvdistill.redact import redact_secrets

UNPLANNED = StudyPlan("")
"""Of a run whose study has no plan beside it."""


def collect_run_facts(config: Config, folder: Path) -> dict[str, Any]:
    """Fields by name: study, question, label, run, arm, seed, git, `group.NAME` and `config.PATH`.

    Every value is a text, a number, a truth value or None. Where several questions read the run,
    they and its labels are joined by commas. A secret is masked.
    """
    study = folder.resolve().parents[1]
    plan = StudyPlan.read(study) if (study / layout.PLAN).is_file() else UNPLANNED
    identity = folder.name.rpartition("-")[2]
    readers = [(name, label) for name, label, run in walk_arms(plan.questions) if run == identity]
    code = read_code_origin()
    facts = {
        "study": study.name,
        "question": ", ".join(dict.fromkeys(name for name, _ in readers)),
        "label": ", ".join(dict.fromkeys(label for _, label in readers)),
        "run": folder.name,
        "arm": config["arm"],
        "seed": config["seed"],
        "git_commit": code.get("git_commit"),
        "git_dirty": code.get("git_dirty"),
    }
    facts |= {f"group.{name}": str(choice) for name, choice in list_choices(config).items()}
    for path, value in flatten_config(dict(config)).items():
        facts[f"config.{name_field(path)}"] = flat(value)
    return {k: redact_secrets(v) if isinstance(v, str) else v for k, v in facts.items()}


def list_choices(config: Config) -> Mapping[str, Any]:
    """Group -> the choice that was made of it."""
    choices: Mapping[str, Any] = config.get("choices") or {}
    return {name_field(name): choice for name, choice in choices.items()}


def name_field(path: str) -> str:
    """A path in the letters that every tracker takes: MLflow's file store makes files of names."""
    return re.sub(r"[^\w.\- :]", ".", path)


def flat(value: Any) -> str | int | float | bool | None:
    """A leaf as trackers take it: what is no plain value is its text."""
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
