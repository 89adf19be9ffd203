"""What a task's file says of where its items come from and how they are asked, without lm-eval.

`metadata` of a file of ours, added to that of the file which it includes: `repo`, `folder`,
`config`, `split` (and `subjects`, `pool`, `files`) say where rows are; `needs` which columns they
have; `shots` how many worked examples its published protocol shows, `most_shots` how many there can
be, or `no_shots` why there are none; `counterpart` is lm-eval's own task of the same benchmark.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

TASKS = Path(__file__).parents[1] / "evaluate" / "tasks"
BUILTIN = "builtin:"
"""How a suite names a task of lm-eval's own."""
BUILTIN_ANSWER_TOKENS = 256
"""Of lm-eval's `HFLM.max_gen_toks`."""
STATED_ANSWER_TOKENS = {"bbh_cot_fewshot": 1024}
"""Of the task files of lm-eval's own counterparts that say another number; a plan does not open
them, since lm-eval takes ten seconds to list its tasks."""
FIRST_VERSION = "1.0"
NO_POOL = "its rows have no pool of worked examples beside them"


class TaskLoader(yaml.SafeLoader):
    """Reads lm-eval's YAML without the functions it names."""


TaskLoader.add_multi_constructor("!", lambda *_: None)


@lru_cache(maxsize=256)
def read_task_metadata(task: str) -> Mapping[str, Any] | None:
    """What a task's file and those that it includes say of it; what includes wins.

    None without a file.
    """
    path: Path | None = TASKS / f"{task}.yaml"
    if not (path and path.is_file()):
        return None
    metadata: dict[str, Any] = {}
    while path is not None and path.is_file():
        node = yaml.load(path.read_text("utf-8"), Loader=TaskLoader)
        metadata = {**node.get("metadata", {}), **metadata}
        path = TASKS / node["include"] if "include" in node else None
    return metadata


@lru_cache(maxsize=256)
def read_answer_limit(task: str) -> int:
    """Tokens that a task's file lets an answer have; 0 where choices are compared instead.

    A task without a file is one of lm-eval's own. It compares choices where ours of the same
    benchmark does; otherwise it writes as many as its file or its model class says.
    """
    merged: dict[str, Any] = {}
    path: Path | None = TASKS / f"{task}.yaml"
    if not (path and path.is_file()):
        name = task.removeprefix(BUILTIN)
        ours = map_counterparts().get(name)
        if ours is not None and read_answer_limit(ours) == 0:
            return 0
        return STATED_ANSWER_TOKENS.get(name, BUILTIN_ANSWER_TOKENS)
    while path is not None and path.is_file():
        node = yaml.load(path.read_text("utf-8"), Loader=TaskLoader)
        merged = {**node, **merged}
        path = TASKS / node["include"] if "include" in node else None
    if merged["output_type"] != "generate_until":
        return 0
    return int(merged["generation_kwargs"]["max_gen_toks"])


def read_included_task(task: str) -> str | None:
    """The task whose file a task's own includes, as one does that asks it in another form."""
    path = TASKS / f"{task}.yaml"
    node = yaml.load(path.read_text("utf-8"), Loader=TaskLoader) if path.is_file() else {}
    included = str(node.get("include", "_"))
    return None if included.startswith("_") else included.removesuffix(".yaml")


def pair_answer_forms(tasks: list[str]) -> list[tuple[str, str]]:
    """(compares likelihoods, lets the model write), of tasks of ours that ask the same rows."""
    rows = {task: read_rows_asked(task) for task in tasks}
    return [
        (likelihood, written)
        for likelihood in tasks
        for written in tasks
        if rows[likelihood] is not None and rows[likelihood] == rows[written]
        if read_answer_limit(likelihood) == 0 < read_answer_limit(written)
    ]


def read_rows_asked(task: str) -> tuple[Any, ...] | None:
    """Where a task of ours has its rows; None where its file says none."""
    metadata = read_task_metadata(task) or {}
    place = tuple(metadata.get(key) for key in ("repo", "folder", "config", "split"))
    return place if metadata.get("repo") else None


@lru_cache(maxsize=1)
def map_counterparts() -> Mapping[str, str]:
    """Task of lm-eval's own -> the task of ours that it is the counterpart of."""
    names = (path.stem for path in sorted(TASKS.glob("*.yaml")))
    known = {name: (read_task_metadata(name) or {}).get("counterpart") for name in names}
    return {theirs: ours for ours, theirs in reversed(known.items()) if theirs}


def list_repositories(tasks: list[str]) -> list[str]:
    """The hub's data sets that tasks, or the ones of ours beside lm-eval's, are read from, once."""
    own = (map_counterparts().get(name.removeprefix(BUILTIN), name) for name in tasks)
    known = (read_task_metadata(name) for name in own)
    return list(dict.fromkeys(node["repo"] for node in known if node and "repo" in node))


def list_versions(tasks: list[str]) -> dict[str, str]:
    """Task -> version of its protocol, of those that are no longer the first."""
    known = {name: read_task_metadata(name) for name in tasks}
    versions = {name: str(node["version"]) for name, node in known.items() if node}
    return {name: version for name, version in versions.items() if version != FIRST_VERSION}


def explain_bad_shots(task: str, shots: int) -> str:
    """Why a task cannot show so many worked examples; empty where it can."""
    if shots < 0:
        return "it must be at least 0"
    if task.startswith(BUILTIN) or shots == 0:
        return ""
    metadata = read_task_metadata(task) or {}
    if "no_shots" in metadata or "shots" not in metadata:
        return f"{metadata.get('no_shots', NO_POOL)}. Leave it out"
    most = metadata.get("most_shots")
    return f"there are {most} at most" if most is not None and shots > most else ""
