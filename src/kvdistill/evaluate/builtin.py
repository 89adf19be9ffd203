"""`builtin:NAME`: any task or group of lm-eval's own, on the Hub's data or on a local copy of it.

A local copy is looked for in the folder that our own task files give for the same Hub data set.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import datasets
import yaml
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager

from kvdistill.errors import UserError
from kvdistill.evaluate.item_texts import PREFIX
from kvdistill.evaluate.task_data import MissingDataError

TASKS = Path(__file__).parent / "tasks"


def load_builtin(entry: str, data_root: str | None) -> dict[str, Task]:
    """The tasks behind `builtin:NAME`, by `builtin:NAME` or, of a group, `builtin:NAME/MEMBER`."""
    name = entry.removeprefix(PREFIX)
    manager = _load_manager()
    if name not in manager.all_tasks:
        raise UserError(f"tasks.tasks: lm-eval has no task {name}. See `lm-eval ls tasks`.")
    try:
        if data_root is None:
            loaded_tasks = manager.load(name)["tasks"]
        else:
            leaves = _list_leaf_tasks(name, manager)
            local = _find_local_copy(entry, _find_repo(leaves[0], manager), Path(data_root))
            spec = {"group": "local", "task": [{"task": leaf, **local} for leaf in leaves]}
            loaded_tasks = manager.load(spec)["tasks"]
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise MissingDataError(
            f"the data of {entry} is not to be had ({type(error).__name__}). Fetch it on a machine "
            f"with a network, or give tasks.data_root a folder with a copy."
        ) from error
    if list(loaded_tasks) == [name]:
        return {entry: loaded_tasks[name]}
    return {f"{entry}/{member}": task for member, task in loaded_tasks.items()}


def list_local_folders() -> dict[str, str]:
    """Hub data set -> its folder below a data root, from the metadata of our own task files."""
    out = {}
    for path in sorted(TASKS.glob("*.yaml")):
        facts = yaml.load(path.read_text(encoding="utf-8"), Loader=_TaskFileLoader).get(
            "metadata", {}
        )
        if "repo" in facts:
            out[facts["repo"]] = facts["folder"]
    return out


class _TaskFileLoader(yaml.SafeLoader):
    """Reads a task file without importing the functions that it names."""


_TaskFileLoader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


@lru_cache(maxsize=1)
def _load_manager() -> TaskManager:
    # Ten seconds for fifteen thousand entries: only where asked for, and once a process.
    return TaskManager()


def _find_local_copy(entry: str, repo: str, root: Path) -> dict[str, Any]:
    """lm-eval's settings that read a data set from its folder below `root`.

    Raises MissingDataError where there is no such folder.
    """
    known = list_local_folders()
    if repo not in known or not (root / known[repo]).is_dir():
        raise MissingDataError(
            f"tasks.data_root={root}: no copy of {repo} for {entry} there. Leave out "
            f"tasks.data_root to fetch it from the Hub."
        )
    folder = root / known[repo]
    # `datasets` caches by path, size and time: an edited copy needs a cache named by its content.
    state = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            state.update(f"{path.relative_to(folder)} ".encode() + path.read_bytes())
    cache = Path(datasets.config.HF_DATASETS_CACHE) / "kvdistill" / state.hexdigest()[:16]
    return {"dataset_path": str(folder), "dataset_kwargs": {"cache_dir": str(cache)}}


def _list_leaf_tasks(name: str, manager: TaskManager) -> list[str]:
    """The tasks of a group or a tag, or the task itself."""
    entry = manager.task_index[name]
    # A tag stands in no file of its own.
    if entry.yaml_path is None:
        return sorted(entry.tags)
    members = (entry.cfg or {}).get("task")
    if not isinstance(members, list):
        return [name]
    names = [m if isinstance(m, str) else m.get("task", m.get("group")) for m in members]
    return [leaf for member in names for leaf in _list_leaf_tasks(member, manager)]


def _find_repo(task: str, manager: TaskManager) -> str:
    """The Hub data set of a task, which may stand in a file it includes."""
    entry = manager.task_index[task]
    config = dict(entry.cfg or {})
    while "dataset_path" not in config and "include" in config:
        text = (entry.yaml_path.parent / config.pop("include")).read_text(encoding="utf-8")
        config = {**yaml.load(text, Loader=_TaskFileLoader), **config}
    return config.get("dataset_path", "?")
