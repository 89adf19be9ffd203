"""Which jobs become one array, in which order, and what they ask for."""

from typing import Any

import pytest

from tests.cluster.graph import graph


def settings(**changes: Any) -> Any:
    from dataclasses import replace

    from kvdistill.config.compose import compose
    from kvdistill.config.schema import read_group

    return replace(read_group("cluster", compose(["cluster=slurm"])["cluster"]), **changes)


def read_estimate(*overrides: str) -> Any:
    """The estimate group of a config."""
    from kvdistill.config.compose import compose
    from kvdistill.config.schema import read_group

    return read_group("estimate", compose(list(overrides))["estimate"])


pytestmark = pytest.mark.usefixtures("hydra")


def group_jobs(nodes: list[Any], done: tuple[str, ...] = (), special: Any = None, **changes: Any):
    from kvdistill.cluster.slurm_arrays import group_into_arrays

    todo = [node for node in nodes if node.name not in done]
    names = {node.name for node in todo}
    batches = list(
        group_into_arrays(todo, settings(**changes), special or {}, names, read_estimate())
    )
    return [([node.name for node in batch.nodes], list(batch.after)) for batch in batches]


NEEDS = {"split": [], "model-a": ["split"], "model-b": ["split"], "run-1": ["split", "model-a"],
         "run-2": ["split", "model-a"], "run-3": ["split", "model-b"]}  # fmt: skip


def test_an_array_waits_for_exactly_what_its_jobs_read() -> None:
    assert group_jobs(graph(NEEDS)) == [
        (["split"], []),
        (["model-a", "model-b"], ["split"]),
        (["run-1", "run-2"], ["model-a", "split"]),
        (["run-3"], ["model-b", "split"]),
    ]


def test_what_stands_is_waited_for_by_nobody() -> None:
    arrays = group_jobs(graph(NEEDS), done=("split", "model-a", "model-b"))
    assert arrays == [(["run-1", "run-2", "run-3"], [])]


def test_an_array_above_the_clusters_limit_is_split() -> None:
    arrays = group_jobs(graph(NEEDS), done=("split", "model-a", "model-b"), max_array=2)
    assert [names for names, _ in arrays] == [["run-1", "run-2"], ["run-3"]]


def test_an_arm_that_asks_for_more_is_an_array_of_its_own() -> None:
    arrays = group_jobs(graph(NEEDS), ("split", "model-a", "model-b"), {"run-2": {"mem_gb": 9.0}})
    assert [names for names, _ in arrays] == [["run-1", "run-3"], ["run-2"]]


def test_a_run_has_a_task_for_each_gpu_of_its_budget() -> None:
    from kvdistill.cluster.slurm_arrays import request_resources
    from kvdistill.errors import ConfigError

    request = request_resources(settings(nodes=2), "run", 8)
    assert (request.tasks_per_node, request.gpus, request.resources.nodes) == (4, 1, 2)
    assert request_resources(settings(nodes=2), "model").resources.nodes == 1
    assert request_resources(settings(gpus=2), "model").gpus == 2
    assert request_resources(settings(gpus=2), "report").gpus == 0
    with pytest.raises(ConfigError, match=r"cluster.nodes=3 does not divide the 8 tasks"):
        _ = request_resources(settings(nodes=3), "run", 8).tasks_per_node


def test_a_kinds_resources_win_over_the_clusters_and_an_arms_over_both() -> None:
    from kvdistill.cluster.slurm_arrays import request_resources

    ours = settings(cpus=2, time_min=10, resources={"run": {"cpus": 4, "time_min": 20}})
    assert request_resources(ours, "run", 1, {"cpus": 8}).resources.cpus == 8
    assert request_resources(ours, "run", 1, {"cpus": 8}).resources.time_min == 20
    assert request_resources(ours, "model").resources.cpus == 2


def test_a_report_waits_for_whole_arrays() -> None:
    from kvdistill.cluster.slurm import make_afterany_dependency
    from kvdistill.cluster.slurm_arrays import make_dependency

    assert make_afterany_dependency(["7_0", "7_1", "8"]) == "afterany:7:8"
    assert make_dependency("afterok", ["7_0", "8", "7_0"]) == "afterok:7_0:8"
    assert make_dependency("afterok", []) is None


def list_run_jobs(**changes: Any) -> list[Any]:
    """Both jobs of two runs."""
    from dataclasses import replace

    from kvdistill.plan.run_jobs import list_jobs

    models = {"student": {}, "tasks": {"backend": "hf"}}
    nodes = [
        replace(node, recipe={**node.recipe, **models})
        for node in graph({"split": [], "run-1": ["split"], "run-2": ["split"]})
    ]
    return list(list_jobs(nodes, settings(**changes)))


def list_dependencies(nodes: list[Any], special: Any = None, **changes: Any) -> list[Any]:
    """(names, dependency) of each array, where the n-th that is submitted has the id n."""
    from kvdistill.cluster.slurm_arrays import group_into_arrays, make_array_dependency

    names = {node.name for node in nodes}
    arrays = group_into_arrays(nodes, settings(**changes), special or {}, names, read_estimate())
    ids: dict[str, str] = {}
    lines = []
    for number, array in enumerate(arrays, 1):
        lines.append(([node.name for node in array.nodes], make_array_dependency(array, ids)))
        for index, node in enumerate(array.nodes):
            ids[node.name] = f"{number}_{index}" if len(array.nodes) > 1 else str(number)
    return lines


def test_what_scores_runs_is_one_array_whose_jobs_wait_each_for_its_own_training() -> None:
    assert list_dependencies(list_run_jobs()) == [
        (["split"], None),
        (["run-1.training", "run-2.training"], "afterok:1"),
        (["run-1", "run-2"], "aftercorr:2"),
    ]


def test_an_array_that_is_split_is_followed_by_parts() -> None:
    assert list_dependencies(list_run_jobs(), max_array=1)[1:] == [
        (["run-1.training"], "afterok:1"),
        (["run-1"], "afterok:2:1"),
        (["run-2.training"], "afterok:1"),
        (["run-2"], "afterok:4:1"),
    ]


def test_evaluations_without_a_partner_at_their_place_wait_by_themselves() -> None:
    jobs = [job for job in list_run_jobs() if job.name != "run-1"]  # its training is joined by more
    assert list_dependencies(jobs)[1:] == [
        (["run-1.training", "run-2.training"], "afterok:1"),
        (["run-2"], "afterok:2_1:1"),
    ]
    # A training that another command has queued has a place in another array.
    jobs = [job for job in list_run_jobs() if job.name in ("split", "run-1", "run-2")]
    assert group_jobs(jobs, done=("split",)) == [(["run-1", "run-2"], [])]


def test_an_arms_partition_is_its_evaluations_too_but_its_memory_is_the_trainings() -> None:
    from kvdistill.cluster.slurm_arrays import group_into_arrays

    special = {"run-1": {"partition": "big", "mem_gb": 400.0, "nodes": 1}}
    ours = settings(resources={"run": {"cpus": 9}, "evaluation": {"cpus": 5}})
    arrays = group_into_arrays(list_run_jobs(), ours, special, set(), read_estimate())
    asked = {
        node.name: (
            array.request.resources.partition,
            array.request.node_mem_gb,
            array.request.cpus,
        )
        for array in arrays
        for node in array.nodes
    }
    assert asked["run-1.training"] == ("big", 400.0, 9)
    assert asked["run-1"] == ("big", None, 5)
    assert asked["run-2"] == (None, None, 5)
