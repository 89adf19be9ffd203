"""stage=fetch: all that runs need from the hub, into its cache, where there is a network.

Jobs then read the cache alone (`cluster.offline`).
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kvdistill.cli.common import JobOverrides, console
from kvdistill.cluster.run_module import call_in_new_process
from kvdistill.config.build import build_node
from kvdistill.errors import UserError
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.expand import expand_command
from kvdistill.plan.hub import remember_commit
from kvdistill.plan.hub_models import list_hub_models

IGNORED_FILES = ["original/*", "*.pth", "*.msgpack", "*.h5", "*.ot", "*.onnx"]
"""The same weights in forms that nothing here reads."""


def fetch_command(job_overrides: JobOverrides, sweeps: Path) -> None:
    """Downloads what the command's runs need. Raises UserError for what is not to be had."""
    fetch_plan(expand_command(job_overrides, sweeps))


def fetch_plan(plan: Plan) -> None:
    """Downloads models with their tokenizers, data and tasks of every run of the plan."""
    # huggingface_hub is slow to import, and no other stage downloads.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    configs = [run.config for run in plan.runs.values()]
    for hub, revision in list_hub_models(configs):
        try:
            snapshot_download(hub, revision=revision, ignore_patterns=IGNORED_FILES)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            line = " ".join(str(error).split())
            raise UserError(f"{hub} at {revision} is not to be had from the hub: {line}") from error
        console.print(f"model {hub} at {revision}")
    nodes = {key: keep_distinct(config[key] for config in configs) for key in ("data", "tasks")}
    # Reading them needs torch and lm-eval, which this process does not import.
    for line in call_in_new_process(__name__, "read_data_and_tasks", nodes):
        console.print(line, soft_wrap=True)
    for repo, commit in plan.commits.items():
        remember_commit(repo, commit)


def keep_distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order of appearance."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def read_data_and_tasks(nodes: Mapping[str, Any]) -> list[str]:
    """Reads every source and every benchmark as a job would, which fills the cache.

    Args:
        nodes: `data` and `tasks`, the config nodes of each.

    Returns:
        A line each that says what was read.

    Raises:
        UserError: for what is not to be had.
    """
    # lm-eval imports torch; this runs in a process of its own.
    from kvdistill.evaluate.builtin import PREFIX
    from kvdistill.evaluate.harness import TASKS, load_tasks

    lines = []
    for node in nodes["data"]:
        rows = build_node("data.source", node["source"]).records()
        lines.append(f"data {node['source']['_target_']}: {len(rows)} rows")
    for node in nodes["tasks"]:
        suite = build_node("tasks", node)
        public = [n for n in suite.all_tasks if n.startswith(PREFIX) or names_repository(n, TASKS)]
        tasks, missing = load_tasks(suite, {})
        for name in public:
            if name in missing:
                raise UserError(missing[name])
        lines.append(f"tasks {suite.name}: {len(tasks)} of {len(public)} from the hub")
    return lines


def names_repository(name: str, folder: Path) -> bool:
    """Whether a task's file, or the one it includes, names a repository."""
    text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
    included = re.search(r"^include: *(\S+)", text, re.MULTILINE)
    return "repo:" in text or bool(included and "repo:" in (folder / included[1]).read_text())
