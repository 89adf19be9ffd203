"""stage=fetch: all that runs need from the hub, into its cache, where there is a network.

Jobs then read the cache alone (`cluster.offline`).
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kvdistill.cli.common import JobOverrides, console
from kvdistill.cluster.run_module import call_in_new_process
from kvdistill.config.compose import Config
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
    for repo, commit in plan.commits.items():
        remember_commit(repo, commit)
    fetch_sources(configs)


def fetch_sources(configs: Iterable[Config]) -> None:
    """Reads every data set and benchmark as a job would, which fills the cache, and lists them all.

    Raises UserError where one is not to be had, after the others were fetched.
    """
    configs = list(configs)
    nodes = {key: keep_distinct(config[key] for config in configs) for key in ("data", "tasks")}
    # Some readers import torch, which this process does not.
    lines = call_in_new_process("kvdistill.evaluate.examine_sources", "examine_sources", nodes)
    for line in lines:
        console.print(f"{line['check']}: {line['found']}", soft_wrap=True)
    if failed := [line for line in lines if line["mend"]]:
        faults = "; ".join(f"{line['check']}: {line['mend']}" for line in failed)
        raise UserError(f"{len(failed)} of {len(lines)} sources are not to be had. {faults}")


def keep_distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, in order of appearance."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())
