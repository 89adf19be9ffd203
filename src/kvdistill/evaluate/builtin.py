"""`builtin:NAME`: any task or group of lm-eval's own, on the rows that our own tasks have.

Of a Hub data set that a task file of ours names, rows come as that one's do: from a local copy or
the Hub's files, at the commit that the plan pinned, and a limited number of them is the same rows.
Other data sets are read by `datasets`, from the Hub alone.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache, partial
from typing import Any

import datasets
import yaml
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager

from kvdistill.errors import UserError, list_causes
from kvdistill.evaluate.benchmarks import locate_rows
from kvdistill.evaluate.item_texts import PREFIX, QUESTION_COLUMNS
from kvdistill.evaluate.suite import Suite, list_own_tasks
from kvdistill.evaluate.task_data import MissingDataError, Row, digest_text, read_rows
from kvdistill.plan.task_files import TaskLoader, read_task_metadata

SCORED_SPLITS = ("test_split", "validation_split")
"""lm-eval's settings that name the split it scores, the first that is set."""


def load_builtin(
    entry: str, suite: Suite, chosen: Collection[str] | None = None
) -> dict[str, Task]:
    """The tasks behind `builtin:NAME`, by `builtin:NAME` or, of a group, `builtin:NAME/MEMBER`.

    `chosen` are the ids of the items to score, as our own task of that data set has them; None for
    all. Raises MissingDataError where the rows are not to be had.
    """
    name = entry.removeprefix(PREFIX)
    manager = _load_manager()
    leaves = _list_leaf_tasks(find_known_task(name), manager)
    own = find_own_task(entry)
    if own is None and suite.data_root is not None:
        raise MissingDataError(
            f"tasks.data_root={suite.data_root}: no task of ours has the data set of {entry}, so "
            "that its copy has no place there. Leave out tasks.data_root to fetch it from the Hub."
        )
    try:
        if own is None:
            loaded_tasks = manager.load(name)["tasks"]
        else:
            splits = {leaf: _locate_splits(leaf, own, suite, chosen, manager) for leaf in leaves}
            # A subject of which no item is chosen is no task.
            spec = [
                {"task": leaf, "custom_dataset": partial(_give, rows)}
                for leaf, rows in splits.items()
                if len(rows[rows.scored])
            ]
            loaded_tasks = manager.load({"group": "local", "task": spec})["tasks"]
    except (OSError, ValueError, RuntimeError, ImportError, AssertionError,
            datasets.exceptions.DatasetsError) as error:  # fmt: skip
        raise MissingDataError(
            f"{entry} cannot be loaded: {list_causes(error)}. Leave it out, or mend what it names."
        ) from error
    for task in loaded_tasks.values():
        if entry in suite.shots:
            task.set_config("num_fewshot", suite.shots[entry])
    if list(loaded_tasks) == [name]:
        return {entry: loaded_tasks[name]}
    return {f"{entry}/{member}": task for member, task in loaded_tasks.items()}


def find_known_task(name: str) -> str:
    """The name itself. Raises UserError for one that lm-eval has not."""
    if name not in _load_manager().all_tasks:
        raise UserError(f"tasks.tasks: lm-eval has no task {name}. See `lm-eval ls tasks`.")
    return name


@lru_cache(maxsize=64)
def find_own_task(entry: str) -> str | None:
    """Our own task of the same Hub data set; None where there is none."""
    name = entry.removeprefix(PREFIX)
    repo = _read_first_leaf(entry).get("dataset_path")
    own_tasks = {task: read_task_metadata(task) or {} for task in list_own_tasks()}
    fitting = [task for task, metadata in own_tasks.items() if metadata.get("repo") == repo]
    # The one that it is the counterpart of, where there are several.
    return min(
        fitting, key=lambda task: (own_tasks[task].get("counterpart") != name, task), default=None
    )


def read_own_shots(entry: str) -> int | None:
    """Worked examples that the task's own file asks for; None where it leaves that to the user."""
    shots: int | None = _read_first_leaf(entry).get("num_fewshot")
    return shots


def has_pool(entry: str) -> bool:
    """Whether the task names a split that its worked examples are taken from."""
    return bool(_read_first_leaf(entry).get("fewshot_split"))


def _read_first_leaf(entry: str) -> dict[str, Any]:
    """The settings of the first task behind an entry; those of a group are alike."""
    manager = _load_manager()
    name = find_known_task(entry.removeprefix(PREFIX))
    return _read_leaf(_list_leaf_tasks(name, manager)[0], manager)


class _Splits(dict[str, datasets.Dataset]):
    """Split -> its rows, read when it is asked for, as lm-eval names more than it reads."""

    def __init__(
        self, where: Mapping[str, Any], scored: str, chosen: Collection[str] | None
    ) -> None:
        super().__init__()
        self.where, self.scored, self.chosen = where, scored, chosen

    def __missing__(self, split: str) -> datasets.Dataset:
        rows = read_rows(**{**locate_rows(self.where), "split": split})
        if split == self.scored and self.chosen is not None:
            rows = [row for row in rows if digest_question(row) in self.chosen]
        self[split] = datasets.Dataset.from_list(rows)
        return self[split]


def digest_question(row: Row) -> str:
    """What our own ids are made of."""
    return digest_text(str(next(row[name] for name in QUESTION_COLUMNS if name in row)))


def strip_id(item: str) -> str:
    """The digest in one of our ids, without its subject and its number among equal texts."""
    return item.rpartition("/")[2].partition("-")[0]


def _locate_splits(
    leaf: str, own: str, suite: Suite, chosen: Collection[str] | None, manager: TaskManager
) -> _Splits:
    """The splits of a task of lm-eval's, whose rows are those of our own of the same data set."""
    config = _read_leaf(leaf, manager)
    where = {
        **(read_task_metadata(own) or {}),
        "config": config.get("dataset_name") or "default",
        "data_root": suite.data_root,
        "revisions": suite.revisions,
    }
    scored = next(config[key] for key in SCORED_SPLITS if config.get(key))
    return _Splits(where, scored, None if chosen is None else {strip_id(item) for item in chosen})


def _give(splits: _Splits, **_: Any) -> _Splits:
    """In the form of lm-eval's `custom_dataset`, which is given a task's metadata."""
    return splits


@lru_cache(maxsize=1)
def _load_manager() -> TaskManager:
    # Ten seconds for fifteen thousand entries: only where asked for, and once a process.
    return TaskManager()


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


def _read_leaf(task: str, manager: TaskManager) -> dict[str, Any]:
    """The settings of a task, with those of the files that it includes."""
    entry = manager.task_index[task]
    config = dict(entry.cfg or {})
    while "include" in config:
        text = (entry.yaml_path.parent / config.pop("include")).read_text(encoding="utf-8")
        config = {**yaml.load(text, Loader=TaskLoader), **config}
    return config
