"""Whether a suite's tasks have rows to ask, told from settings before anything is built."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.task_files import BUILTIN, TASKS, read_task_metadata

SOURCES = "kvdistill.data.sources."


def check_suite_data(plan: Plan) -> None:
    """Raises ConfigError for a suite that the data, or the folder of local copies, cannot feed."""
    configs = [run.config for run in plan.runs.values()]
    distinct = {repr((config["data"], config["tasks"])): config for config in configs}
    if faults := [line for config in distinct.values() for line in list_suite_faults(config)]:
        raise ConfigError(faults[0])


def list_suite_faults(config: Config) -> Iterator[str]:
    """What keeps tasks of the suite from being asked, with the way out, a sentence a cause."""
    suite, tasks = config["tasks"], read_suite_metadata(config)
    if unfed := list_unfed_tasks(config, tasks):
        yield (
            f"tasks={suite['name']}: {', '.join(unfed)} ask rows that data="
            f"{config['choices']['data']} does not make: no run could be scored on them. Use "
            "tasks=own, which asks the held-out rows of whatever data is chosen, or a benchmark."
        )
    root = suite["data_root"]
    if root is not None and not Path(root).is_dir():
        yield (
            f"tasks.data_root={root} is no folder. Give one with a copy of each benchmark of "
            f"tasks={suite['name']}, or leave it out to read them from the hub."
        )
    elif root is not None:
        absent = list_absent_tasks(config, tasks)
        if absent and len(absent) == len(suite["tasks"]):
            yield (
                f"tasks.data_root={root} has no rows of {', '.join(absent)}: no run could be "
                "scored. Put copies there, or leave it out to read them from the hub."
            )


def list_absent_tasks(config: Config, tasks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Tasks of the average whose rows are not, or not all, below `tasks.data_root`."""
    root, shots = config["tasks"]["data_root"], config["tasks"]["shots"]
    return [
        name
        for name in config["tasks"]["tasks"]
        if root is not None
        and "repo" in tasks.get(name, ())
        and list_absent_parts(tasks[name], Path(root), shots.get(name, tasks[name].get("shots", 0)))
    ]


def read_suite_metadata(config: Config) -> dict[str, Mapping[str, Any]]:
    """The metadata of the suite's tasks that have a file of ours, those beside it too."""
    names = (*config["tasks"]["tasks"], *config["tasks"]["beside"])
    known = {name: read_task_metadata(name) for name in names if not name.startswith(BUILTIN)}
    return {name: metadata for name, metadata in known.items() if metadata is not None}


def list_unfed_tasks(config: Config, tasks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Tasks drawn from the split whose family none of its rows is of."""
    families = list_families(config["data"]["source"])
    if families is None:
        return []
    return [
        name
        for name, metadata in tasks.items()
        if "repo" not in metadata and metadata.get("family") not in (None, *families)
    ]


def list_families(source: Mapping[str, Any]) -> Collection[str] | None:
    """The task families of a source's rows; None for a source of the user's own."""
    kind = str(source["_target_"]).removeprefix(SOURCES)
    if kind == "nano.Nano":
        own_tasks = (read_task_metadata(path.stem) or {} for path in TASKS.glob("*.yaml"))
        return {metadata["family"] for metadata in own_tasks if "family" in metadata}
    if kind == "mixture.Mixture":
        return {str(part["task"]) for part in source["parts"].values()}
    if kind != "jsonl.Jsonl":
        return None
    column = source["fields"].get("task")
    return read_column_values(Path(source["path"]), column) if column else {source["task"]}


def read_column_values(path: Path, column: str) -> set[str] | None:
    """The distinct values of one column; None where it is a template or the file is broken.

    The source names what is broken, with the row.
    """
    if "{" in column:
        return None
    try:
        with path.open(encoding="utf-8-sig") as lines:
            return {str(json.loads(line)[column]) for line in lines if line.strip()}
    except (OSError, ValueError, LookupError, TypeError):
        return None


def list_absent_parts(where: Mapping[str, Any], root: Path, shots: int = 0) -> list[str]:
    """Parts of a benchmark (subjects, or its one config) whose rows no file below `root` holds.

    Those of the worked examples too, where some are shown and have a file.
    """
    splits = [where["split"], *([where["pool"]] if shots and "pool" in where else [])]
    parts = list(where.get("subjects") or [where.get("config", "default")])
    folder = root / where["folder"]
    # As on the hub, a benchmark with one config has no folder for it.
    return [
        part
        for part in parts
        if not all(
            (folder / part / f"{split}.jsonl").is_file() or (folder / f"{split}.jsonl").is_file()
            for split in splits
        )
    ]
