"""Which jobs are submitted together: an array of those alike in what they ask and wait for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from kvdistill.config.sbatch_options import check_sbatch_options
from kvdistill.config.schema import Estimate, Resources, Slurm
from kvdistill.errors import ConfigError
from kvdistill.plan.graph import TRIAL, Node
from kvdistill.plan.resources.task_needs import TaskNeeds, derive_task_needs
from kvdistill.plan.run_jobs import TRAINING, count_tasks

NO_NEEDS = TaskNeeds()
NO_GPU = ("split", "validation", "conversion", "report")
"""Kinds of job that compute nothing on a GPU."""
PLACES = ("partition", "account", "qos", "constraint", "sbatch", "setup")
"""Of an arm's own resources, those that hold for all jobs of its runs: where they go, not how much
they are. The rest is meant for the training."""


@dataclass(frozen=True)
class JobRequest:
    """What one job asks of SLURM."""

    resources: Resources
    tasks: int
    """Ranks; each has `gpus` GPUs of its own."""
    needs: TaskNeeds = NO_NEEDS
    """Of a task, where `resources` states nothing."""

    @property
    def tasks_per_node(self) -> int:
        """Raises ConfigError where the ranks do not fill the nodes evenly."""
        nodes = self.resources.nodes
        if self.tasks % nodes:
            raise ConfigError(
                f"cluster.nodes={nodes} does not divide the {self.tasks} tasks of "
                f"budget.num_gpus. Choose a number of nodes that does."
            )
        return self.tasks // nodes

    @property
    def gpus(self) -> int:
        """GPUs a task."""
        if self.resources.gpus is not None:
            return self.resources.gpus
        return max(self.needs.gpus, int(self.tasks > 1))

    @property
    def cpus(self) -> int:
        """CPUs a task."""
        return self.needs.cpus if self.resources.cpus is None else self.resources.cpus

    @property
    def node_mem_gb(self) -> float | None:
        """Memory of a node; None for the cluster's own default."""
        if self.resources.mem_gb is not None or self.needs.memory_bytes is None:
            return self.resources.mem_gb
        return float(-(-self.needs.memory_bytes * self.tasks_per_node // 2**30))


@dataclass(frozen=True)
class JobArray:
    """Jobs of one array."""

    nodes: Sequence[Node]
    request: JobRequest
    after: Sequence[str]
    """Names of the jobs that all of them wait for."""
    pairwise: bool = False
    """Whether the i-th waits for the i-th of `after` alone, which are the jobs of one array."""


def request_resources(
    settings: Slurm,
    kind: str,
    tasks: int = 1,
    special: Mapping[str, Any] = MappingProxyType({}),
    needs: TaskNeeds = NO_NEEDS,
) -> JobRequest:
    """What a job asks: its needs, the cluster's settings, those of its kind and arm; later wins.

    `cluster.nodes` and `cluster.gpus` speak of those that have a use for them.
    """
    plain = {field.name: getattr(settings, field.name) for field in fields(Resources)}
    # Settings of nodes and GPUs are meant for the runs; a split or report would hold them idle.
    if tasks == 1:
        plain["nodes"] = 1
    if kind in NO_GPU:
        plain["gpus"] = 0
    merged = {**plain, **(settings.resources.get(name_resources(kind)) or {}), **special}
    # An arm's resources meet the cluster's only here.
    check_sbatch_options(merged, f"cluster, for a {kind}: cluster")
    return JobRequest(Resources(**merged), tasks, needs)


def name_resources(kind: str) -> str:
    """Under which name `cluster.resources` has those of a kind of job: `run` is what trains."""
    return "run" if kind in (TRAINING, TRIAL) else kind


def select_arm_resources(node: Node, special: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """What an arm's own resources say of one of its jobs; `special` is by name of run."""
    own = special.get(node.name.removesuffix(f".{TRAINING}"), {})
    if TRAINING in node.needs:
        return {name: value for name, value in own.items() if name in PLACES}
    return own


def group_into_arrays(
    nodes: Sequence[Node],
    settings: Slurm,
    special: Mapping[str, Mapping[str, Any]],
    awaited: set[str],
    estimate: Estimate,
) -> Iterator[JobArray]:
    """The arrays, each after those it waits for.

    Nodes come after what they need. `special` maps a node's name to its arm's resources; `awaited`
    are the artefacts that do not stand yet. `estimate` says whether jobs compute on GPUs, and how
    large those are.
    """
    names = {node.name for node in nodes}
    groups: dict[tuple[Any, ...], list[JobArray]] = {}
    evaluations: dict[str, JobArray] = {}
    for node in nodes:
        tasks = count_tasks(node, settings.evaluation)
        request = request_resources(
            settings,
            node.kind,
            tasks,
            select_arm_resources(node, special),
            derive_task_needs(node, estimate, tasks),
        )
        alone = JobArray([node], request, sorted(set(node.needs.values()) & awaited))
        if (training := node.needs.get(TRAINING)) in names:
            evaluations[str(training)] = alone
        else:
            # All tasks of an array share one script, so they must ask and wait alike.
            key = (node.kind, repr(asdict(request)), *alone.after)
            groups.setdefault(key, []).append(alone)
    for members in groups.values():
        # SLURM refuses arrays above its MaxArraySize.
        for first in range(0, len(members), settings.max_array):
            chunk = members[first : first + settings.max_array]
            array = replace(chunk[0], nodes=[each.nodes[0] for each in chunk])
            yield array
            yield from follow_array(array, evaluations)


def follow_array(array: JobArray, evaluations: Mapping[str, JobArray]) -> Iterator[JobArray]:
    """The evaluations of an array of trainings: one array, where each of its jobs has a partner.

    `evaluations`: each by itself, by the name of its training. In one array a run's evaluation
    waits for its own training; what the training has waited for stands then.
    """
    names = [node.name for node in array.nodes]
    followers = [evaluations[name] for name in names if name in evaluations]
    scripts = {repr(asdict(each.request)) for each in followers}
    if len(names) > 1 and len(followers) == len(names) and len(scripts) == 1:
        nodes = [each.nodes[0] for each in followers]
        yield JobArray(nodes, followers[0].request, names, pairwise=True)
    else:
        yield from followers


def make_array_dependency(array: JobArray, ids: Mapping[str, str]) -> str | None:
    """What an array waits for, by the ids of jobs submitted; None for nothing."""
    if array.pairwise:
        # Its task i begins once task i of that array has ended well.
        return make_dependency("aftercorr", [ids[array.after[0]].partition("_")[0]])
    return make_dependency("afterok", [ids[name] for name in array.after])


def make_dependency(kind: str, ids: Sequence[str]) -> str | None:
    """SLURM's way to say "after these"; None for nothing to wait for."""
    return f"{kind}:{':'.join(dict.fromkeys(ids))}" if ids else None
