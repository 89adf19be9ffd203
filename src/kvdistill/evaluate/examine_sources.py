"""Every source that runs read, read as they will: what is there, or why not and what would help.

For stage=fetch, whose cache this fills, and stage=doctor; each calls it in a process of its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from kvdistill.config.build import build_node
from kvdistill.data.hub_files import list_repository
from kvdistill.data.sources.mixture import Mixture
from kvdistill.errors import UserError
from kvdistill.evaluate.benchmarks import locate_rows
from kvdistill.evaluate.task_data import read_rows
from kvdistill.plan.task_files import BUILTIN, read_task_metadata

Lines = Iterator[dict[str, str]]


def examine_sources(nodes: Mapping[str, Any]) -> list[dict[str, str]]:
    """{check, found, mend} of every source; `mend` is empty where nothing is wrong.

    Args:
        nodes: `data` and `tasks`, the distinct config nodes of each.
    """
    lines = [line for node in nodes["data"] for line in examine_data(node["source"])]
    return lines + [line for node in nodes["tasks"] for line in examine_suite(node)]


def examine_data(source: Mapping[str, Any]) -> Lines:
    """Of training data: each part of a mixture, or the source as one."""
    built = build_node("data.source", source)
    if not isinstance(built, Mixture):
        yield examine_one("data", lambda: f"{len(built.records())} rows")
        return
    for name in built.parts:
        yield examine_one(f"data {name}", lambda part=name: describe_part(built, part))


def describe_part(mixture: Mixture, name: str) -> str:
    """How many usable rows a part has, and where they come from."""
    records, part = mixture.read_part(name), mixture.parts[name]
    if mixture.root is not None:
        return f"{len(records)} rows below {mixture.root}"
    return f"{len(records)} rows of {describe_repository(part['hub'], part.get('revision'))}"


def examine_suite(suite: Mapping[str, Any]) -> Lines:
    """Of a suite: each task that is not drawn from the split."""
    for name in (*suite["tasks"], *suite["beside"]):
        metadata = read_task_metadata(name)
        if name.startswith(BUILTIN):
            yield examine_one(f"task {name}", lambda entry=name: describe_builtin(entry, suite))
        elif metadata is not None and "repo" in metadata:
            yield examine_one(
                f"task {name}", lambda of=name, where=metadata: describe_benchmark(of, where, suite)
            )


def describe_benchmark(name: str, metadata: Mapping[str, Any], suite: Mapping[str, Any]) -> str:
    """Rows and columns of a benchmark. Raises UserError where a part of it is not to be had."""
    where = {**metadata, "data_root": suite["data_root"], "revisions": suite.get("revisions")}
    shots = suite["shots"].get(name, metadata.get("shots", 0))
    splits = [metadata["split"], *([metadata["pool"]] if shots and "pool" in metadata else [])]
    parts = list(metadata.get("subjects") or [metadata.get("config")])
    counts, columns = dict.fromkeys(splits, 0), ""
    for split in splits:
        for part in parts:
            rows = read_rows(**{**locate_rows(where, config=part), "split": split})
            counts[split] += len(rows)
            columns = ", ".join(rows[0])
    sizes = " and ".join(f"{count} {split}" for split, count in counts.items())
    if suite["data_root"] is not None:
        return f"{sizes} rows below {suite['data_root']}/{metadata['folder']}, columns {columns}"
    revision = locate_rows(where)["revision"]
    return f"{sizes} rows of {describe_repository(metadata['repo'], revision)}, columns {columns}"


def describe_repository(repo: str, revision: str | None) -> str:
    """A data set of the hub with its commit, and whether it is gated."""
    listing = list_repository(repo, revision or "main")
    return f"{repo} at {listing.commit[:8]}" + ", gated" * listing.gated


def describe_builtin(entry: str, suite: Mapping[str, Any]) -> str:
    """How many tasks of lm-eval's own a name stands for, their data being had."""
    # lm-eval imports torch, which no other check needs.
    from kvdistill.evaluate.builtin import load_builtin

    tasks = load_builtin(entry, build_node("tasks", suite))
    return f"{sum(len(task.eval_docs) for task in tasks.values())} rows"


def examine_one(check: str, describe: Any) -> dict[str, str]:
    """What was found, or the causes of a refusal with what its last sentence says to do."""
    try:
        return {"check": check, "found": describe(), "mend": ""}
    except UserError as error:
        found, _, mend = str(error).rstrip(".").rpartition(". ")
        return {"check": check, "found": found, "mend": f"{mend}."}
