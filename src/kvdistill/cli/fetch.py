"""stage=fetch: all that runs need from the hub, into its cache, where there is a network.

Jobs then read the cache alone (`cluster.offline`). What needs torch runs in one child:
`python -m kvdistill.cli.fetch` gets {"data": [...], "tasks": [...]} on stdin and prints what it
got, a line each; exit code 1 and one line on stderr for what is not to be had.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from kvdistill.cluster import run_module
from kvdistill.config.build import build
from kvdistill.config.compose import Config
from kvdistill.errors import ConfigError, UserError
from kvdistill.plan.expand import Plan
from kvdistill.plan.hub import remember

UNREAD = ["original/*", "*.pth", "*.msgpack", "*.h5", "*.ot", "*.onnx"]
"""The same weights in forms that nothing here reads."""
MODEL = "kvdistill.models.pretrained.Pretrained"


def fetch(plan: Plan, console: Console) -> None:
    """Downloads models with their tokenizers, data and tasks of every run of the plan."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    configs = [run.config for run in plan.runs.values()]
    for hub, revision in hubs(configs):
        try:
            snapshot_download(hub, revision=revision, ignore_patterns=UNREAD)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            line = " ".join(str(error).split())
            raise UserError(f"{hub} at {revision} is not to be had from the hub: {line}") from error
        console.print(f"model {hub} at {revision}")
    asked = {key: distinct(config[key] for config in configs) for key in ("data", "tasks")}
    done = run_module.ask("kvdistill.cli.fetch", asked)
    console.print(done.stdout, end="", markup=False, soft_wrap=True)
    if done.returncode != 0:
        raise UserError(done.stderr.strip().splitlines()[-1])
    for repo, commit in plan.commits.items():
        remember(repo, commit)


def hubs(configs: Iterable[Config]) -> list[tuple[str, str]]:
    """(repository, revision) of every model that is read from the hub, once."""
    found = [
        (node["hub"], node["revision"])
        for config in configs
        for node in nodes(config)
        if node.get("_target_") == MODEL and node.get("hub") is not None
    ]
    return list(dict.fromkeys(found))


def check(configs: Iterable[Config]) -> None:
    """Refuses a model that jobs without a network would not find in the cache."""
    wanted = hubs(configs)
    if not wanted:
        return
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        for hub, revision in wanted:
            snapshot_download(hub, revision=revision, local_files_only=True)
    except LocalEntryNotFoundError as error:
        raise ConfigError(
            f"cluster.offline=true and {hub} at {revision} is not in the cache. "
            "Repeat the command with stage=fetch first, or set cluster.offline=false."
        ) from error


def nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping inside a config, outer before inner."""
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each once, in order of appearance."""
    return list({json.dumps(value, sort_keys=True): value for value in values}.values())


def main() -> int:
    """The child: reads every source and every benchmark as a job would."""
    from kvdistill.evaluate.builtin import PREFIX
    from kvdistill.evaluate.harness import TASKS, load_tasks

    asked = json.load(sys.stdin)
    try:
        for node in asked["data"]:
            rows = build("data.source", node["source"]).records()
            sys.stdout.write(f"data {node['source']['_target_']}: {len(rows)} rows\n")
        for node in asked["tasks"]:
            suite = build("tasks", node)
            public = [n for n in suite.scored if n.startswith(PREFIX) or from_hub(n, TASKS)]
            tasks, missing = load_tasks(suite, {})
            for name in public:
                if name in missing:
                    raise UserError(missing[name])  # noqa: TRY301 - one line for all
            sys.stdout.write(f"tasks {suite.name}: {len(tasks)} of {len(public)} from the hub\n")
    except UserError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return 1
    return 0


def from_hub(name: str, folder: Path) -> bool:
    """Whether a task's file, or the one it includes, names a repository."""
    text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
    included = re.search(r"^include: *(\S+)", text, re.MULTILINE)
    return "repo:" in text or bool(included and "repo:" in (folder / included[1]).read_text())


if __name__ == "__main__":
    sys.exit(main())
