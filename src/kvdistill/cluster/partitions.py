"""What a partition's nodes have, as sinfo says it, and whether jobs would find room there."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kvdistill.cluster.slurm_arrays import (
    JobRequest,
    group_into_arrays,
    name_resources,
    request_resources,
)
from kvdistill.cluster.slurm_commands import call_slurm
from kvdistill.cluster.submit import resources_by_node
from kvdistill.config.schema import read_group
from kvdistill.errors import UserError
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.run_jobs import list_jobs

SINFO = ("sinfo", "--noheader", "--exact", "--format=%P|%a|%D|%G|%c|%m")
FIELDS = 6
REPORT = "report"


@dataclass(frozen=True)
class NodeShape:
    """Nodes of a partition that are alike."""

    partition: str
    is_default: bool
    is_up: bool
    nodes: int
    gpus: int
    cpus: int
    mem_gb: float


def read_partitions() -> list[NodeShape]:
    """Every kind of node of every partition. Raises UserError with sinfo's complaint."""
    rows = [line.strip().split("|") for line in call_slurm(*SINFO).splitlines()]
    return [
        NodeShape(
            partition=name.removesuffix("*"),
            is_default=name.endswith("*"),
            is_up=state == "up",
            nodes=int(nodes),
            gpus=count_gres_gpus(gres),
            cpus=int(cpus.rstrip("+")),
            mem_gb=int(memory.rstrip("+")) / 1024,
        )
        for name, state, nodes, gres, cpus, memory in (row for row in rows if len(row) == FIELDS)
    ]


def count_gres_gpus(gres: str) -> int:
    """GPUs of a node in sinfo's %G: `gpu:8`, `gpu:a100:4(S:0-1),nvme:1`, `(null)`."""
    return sum(int(number) for number in re.findall(r"\bgpu(?::[^:,()]+)?:(\d+)", gres))


def select_shapes(shapes: Sequence[NodeShape], partition: str | None) -> list[NodeShape]:
    """The nodes on which a job may come: of the partition it names, or of the default one."""
    if partition is None:
        return [shape for shape in shapes if shape.is_default and shape.is_up]
    # A job may name several, separated by commas, and comes to one of them.
    names = partition.split(",")
    return [shape for shape in shapes if shape.partition in names and shape.is_up]


@dataclass(frozen=True)
class Misfit:
    """What a job asks of a node that no node of its partition has."""

    asks: str
    has: str
    way_out: str


def list_misfits(kind: str, request: JobRequest, shapes: Sequence[NodeShape]) -> list[Misfit]:
    """What a job of this kind lacks on the best node there is; nothing where some node has all.

    `shapes`: at least one, of the job's partition. The way out names the line to change: that of
    all jobs for a run's, else that of the kind.
    """
    missing = [list(iterate_misfits(kind, request, shape)) for shape in shapes]
    # Not the first that comes: the one with the fewest shortages is the nearest to the job.
    fewest = min(missing, key=len)
    count = sum(shape.nodes for shape in shapes)
    if request.resources.nodes > count:
        nodes = Misfit(f"{request.resources.nodes} nodes", str(count), f"Set cluster.nodes={count}")
        return [*fewest, nodes]
    return fewest


def iterate_misfits(kind: str, request: JobRequest, shape: NodeShape) -> Iterator[Misfit]:
    """What a job lacks on nodes of one shape."""
    tasks = request.tasks_per_node

    def name_setting(name: str, value: int) -> str:
        return (
            f"cluster.{name}={value}"
            if name_resources(kind) == "run"
            else f'cluster.resources.{kind}="{{{name}: {value}}}"'
        )

    if request.gpus * tasks > shape.gpus:
        way_out = suggest_gpus(request, shape) or f"Set {name_setting('gpus', shape.gpus)}"
        yield Misfit(f"{request.gpus * tasks} GPUs", f"{shape.gpus}", way_out)
    if request.cpus * tasks > shape.cpus:
        cpus = name_setting("cpus", max(shape.cpus // tasks, 1))
        yield Misfit(f"{request.cpus * tasks} CPUs", f"{shape.cpus}", f"Set {cpus}")
    memory = request.node_mem_gb
    if memory is not None and memory > shape.mem_gb:
        less = name_setting("mem_gb", int(shape.mem_gb))
        way_out = f"Set {less}, which is less than is reckoned with, or divide over more nodes"
        yield Misfit(f"{memory:g} GB", f"{shape.mem_gb:.0f}", way_out)


def suggest_gpus(request: JobRequest, shape: NodeShape) -> str | None:
    """More nodes where tasks can be divided over them, or another partition; None for neither."""
    if not shape.gpus:
        return "Name a partition with GPUs in cluster.partition, or set cluster.gpus=0"
    nodes = -(-request.tasks * request.gpus // shape.gpus)
    if request.tasks > 1 and request.tasks % nodes == 0:
        return f"Set cluster.nodes={nodes}"
    return None


def check_jobs(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """(what is checked, what was found, how to mend it) of every kind of job; the last may be "".

    Asked of SLURM is what the partition has; of the plan, what its jobs ask.
    """
    try:
        shapes = read_partitions()
    except UserError as error:
        yield "cluster", str(error), "Submit from a login node, or use cluster=local."
        return
    up = ", ".join(dict.fromkeys(shape.partition for shape in shapes if shape.is_up)) or "none"
    for kind, request in list_kinds_of_jobs(plan):
        partition = request.resources.partition
        chosen = select_shapes(shapes, partition)
        named = "the default partition" if partition is None else f"cluster.partition={partition}"
        if not chosen:
            yield "cluster", f"{named} is not up, or is none", f"Use one of {up}."
            continue
        tasks = "1 task" if request.tasks == 1 else f"{request.tasks} tasks"
        memory = f", {request.node_mem_gb:g} GB a node" if request.node_mem_gb else ""
        asks = f"{tasks} of {request.gpus} GPUs and {request.cpus} CPUs{memory}"
        misfits = list_misfits(kind, request, chosen)
        for misfit in misfits:
            shortage = f"{misfit.asks} a node, where {named} has {misfit.has}"
            yield f"jobs: {kind}", f"{asks}: {shortage}", f"{misfit.way_out}."
        if not misfits:
            yield f"jobs: {kind}", asks, ""


def list_kinds_of_jobs(plan: Plan) -> list[tuple[str, JobRequest]]:
    """Each kind of job with what it asks, once for all that ask alike; the report's too."""
    settings = read_group("cluster", plan.config["cluster"])
    nodes = [*plan.artifacts.values(), *(run.node for run in plan.runs.values())]
    estimate = read_group("estimate", plan.config["estimate"])
    jobs = list(list_jobs(nodes, settings))
    arrays = group_into_arrays(jobs, settings, resources_by_node(plan), set(), estimate)
    requests = [(array.nodes[0].kind, array.request) for array in arrays]
    requests.append((REPORT, request_resources(settings, REPORT)))
    return list({repr(each): each for each in requests}.values())
