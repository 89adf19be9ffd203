"""The doctor's checks of what lies elsewhere: evaluation sets, weights, tokenizers, the cluster."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from kvdistill.cli.checks.plan_checks import Finding
from kvdistill.cluster.partitions import check_jobs
from kvdistill.cluster.run_module import call_in_new_process
from kvdistill.errors import UserError
from kvdistill.plan import hub
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.suite_data import list_unfed_tasks, read_suite_metadata
from kvdistill.plan.task_files import BUILTIN, read_task_metadata


def check_tasks(plan: Plan) -> Iterator[Finding]:
    """Whether each evaluation set that is no benchmark can be asked; benchmarks are sources."""
    suite_tasks = read_suite_metadata(plan.config)
    unfed = list_unfed_tasks(plan.config, suite_tasks)
    for name in (*plan.config["tasks"]["tasks"], *plan.config["tasks"]["beside"]):
        check = f"task {name}"
        where = read_task_metadata(name)
        if name.startswith(BUILTIN):
            continue
        if where is None:
            yield Finding(
                check, f"no {name}.yaml among the tasks", "Add its file or use another suite."
            )
        elif name in unfed:
            yield Finding(
                check, f"asks rows that data={plan.config['choices']['data']} does not make",
                "Use tasks=own, which asks the held-out rows of any data, or a benchmark.",
            )  # fmt: skip
        elif "repo" not in where:
            yield Finding(check, "drawn from the split")


def check_sources(plan: Plan) -> Iterator[Finding]:
    """Whether each benchmark and each training source can be read: its rows, columns and commit."""
    configs = {
        repr((run.config["data"], run.config["tasks"])): run.config for run in plan.runs.values()
    }
    nodes = {key: [config[key] for config in configs.values()] for key in ("data", "tasks")}
    try:
        lines = call_in_new_process("kvdistill.evaluate.examine_sources", "examine_sources", nodes)
    except UserError as error:
        yield Finding("sources", str(error)[-300:], "Mend what it names.")
        return
    yield from (Finding(**line) for line in {line["check"]: line for line in lines}.values())


def models_by_name(plan: Plan) -> dict[str, Mapping[str, Any]]:
    """Every student and teacher of the plan, by name."""
    nodes = [
        node
        for run in plan.runs.values()
        for node in (run.config["student"], *run.config["teachers"].values())
    ]
    return {node["name"]: node for node in nodes}


def check_weights(plan: Plan) -> Iterator[Finding]:
    """Whether weights are at hand: made by the project, on disk, or on the hub and allowed."""
    for name, node in models_by_name(plan).items():
        check = f"weights {name}"
        if "build" in node:
            yield Finding(check, "made by the project")
            continue
        source = node["pretrained"]
        if source.get("path"):
            yield Finding(check, f"{source['path']}")  # a missing one was refused by the plan
            continue
        repo = hub.Repo(source["hub"], "model", source["revision"])
        resolution = hub.resolve_commit(repo, online=True)
        why = resolution.why if resolution.commit is None else hub.explain_refusal(repo)
        if why:
            yield Finding(
                check, f"{repo.name}: {why}",
                "Fetch it where there is a network (stage=fetch); accept its licence on its page "
                "and run `hf auth login` if it is gated; or give a local path.",
            )  # fmt: skip
        else:
            yield Finding(check, f"{repo.name} at {str(resolution.commit)[:8]}")


def check_tokenizers(plan: Plan) -> Iterator[Finding]:
    """Whether tokenizers at hand say their tokens' bytes, so that any two of them pair."""
    known = models_by_name(plan)
    local_nodes = {name: node["pretrained"] for name, node in known.items() if is_on_disk(node)}
    for name, node in known.items():
        if "build" in node:
            yield Finding(f"tokenizer {name}", "made by the project, byte by byte")
        elif name not in local_nodes:
            yield Finding(f"tokenizer {name}", "not on this machine yet, so not looked at")
    if not local_nodes:
        return
    try:
        faults = call_in_new_process(
            "kvdistill.data.check_tokenizers", "find_faults", local_nodes, HF_HUB_OFFLINE="1"
        )
    except UserError as error:
        yield Finding("tokenizers", str(error)[-300:], "Mend what it names.")
        return
    for name, why in faults.items():
        mend = "Use a byte-level fast tokenizer (tokenizer.json)." if why else ""
        yield Finding(f"tokenizer {name}", why or "its tokens spell their bytes", mend)


def is_on_disk(node: Mapping[str, Any]) -> bool:
    """Whether a pretrained model lies on this machine."""
    source = node.get("pretrained") or {}
    if source.get("hub"):
        return hub.is_cached(hub.Repo(source["hub"], "model", source["revision"]))
    return bool(source.get("path"))


def check_cluster_access(plan: Plan) -> Iterator[Finding]:
    """Whether the place where runs go has what they ask for."""
    num_gpus = max(run.config["budget"]["num_gpus"] for run in plan.runs.values())
    if plan.config["cluster"]["name"] == "slurm":
        yield from (Finding(*line) for line in check_jobs(plan))
        return
    # One GPU or none: a run of one rank computes on the CPU as well.
    gpus_here, cores = count_gpus(), len(os.sched_getaffinity(0))
    needed = num_gpus if num_gpus > 1 or needs_sharding(plan) else 0
    if gpus_here < needed:
        yield Finding(
            "cluster", f"runs ask for {needed} GPUs and this machine has {gpus_here}",
            "Use cluster=slurm, or divide the same batch otherwise: budget.num_gpus=1 and more "
            "budget.grad_accum.",
        )  # fmt: skip
    else:
        yield Finding("cluster", f"this machine: {cores} cores, {gpus_here} GPUs")


def needs_sharding(plan: Plan) -> bool:
    """Whether a model is placed over several GPUs."""
    return any(
        n.get("placement", {}).get("shard", "none") != "none" for n in models_by_name(plan).values()
    )


def count_gpus() -> int:
    """GPUs that the driver lists."""
    if shutil.which("nvidia-smi") is None:
        return 0
    process = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return sum(line.startswith("GPU ") for line in process.stdout.splitlines())
