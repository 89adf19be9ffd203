"""What each job of the shipped sweeps asks of SLURM at paper scale."""

from pathlib import Path
from typing import Any

import pytest
import yaml

SWEEPS = Path(__file__).parents[2] / "sweeps"
OTHER_SCALE = {
    "second_smollm",
    "second_teacher",
    "miniature",
    "miniature_rate",
    "planted",
    "recovery",
}
"""Sweeps of weights or texts that the paper's scale does not have."""
TOGETHER = set(yaml.safe_load((SWEEPS / "everything.yaml").read_text(encoding="utf-8"))["sweeps"])
"""Sweeps that are looked at as one study."""
NAMES = sorted({path.stem for path in SWEEPS.glob("*.yaml")} - OTHER_SCALE - TOGETHER)
pytestmark = pytest.mark.usefixtures("hydra")


def list_requests(*overrides: str) -> list[tuple[Any, Any]]:
    """(node, what its job asks) of every job of a command."""
    from kvdistill.cluster.slurm_arrays import group_into_arrays
    from kvdistill.cluster.submit import resources_by_node
    from kvdistill.config.schema import read_group
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.run_jobs import list_jobs

    plan = expand_command([["stage=plan", "cluster=slurm", *overrides]], SWEEPS)
    nodes = [*plan.artifacts.values(), *(run.node for run in plan.runs.values())]
    cluster = read_group("cluster", plan.config["cluster"])
    arrays = group_into_arrays(
        list(list_jobs(nodes, cluster)),
        cluster,
        resources_by_node(plan),
        set(),
        read_group("estimate", plan.config["estimate"]),
    )
    return [(node, array.request) for array in arrays for node in array.nodes]


@pytest.mark.parametrize(
    "sweep", ["baselines", *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES)]
)
def test_every_job_that_computes_has_its_gpu_cpus_and_memory(sweep: str) -> None:
    from kvdistill.plan.resources.placement import count_model_bytes

    for node, request in list_requests("scale=paper", f"sweep={sweep}"):
        if node.kind in ("calibration", "kv", "training", "evaluation"):
            assert request.gpus >= 1, node.name
            assert request.cpus >= 4, node.name
            assert request.node_mem_gb is not None, node.name
            # What scores has a GPU, whatever its training has.
            assert (request.tasks == 1) or node.kind != "evaluation", node.name
            least = count_model_bytes(node.recipe["student"]) / 2**30
            assert request.node_mem_gb > least * request.tasks_per_node, node.name
            most = 110 * request.tasks_per_node * request.gpus
            assert request.node_mem_gb <= most, node.name
        else:
            assert (request.gpus, request.cpus) == (0, 1), node.name


def test_a_teacher_that_one_gpu_cannot_hold_is_scored_by_several() -> None:
    requests = list_requests("scale=paper", "arm=multi_teacher", "teachers=four")
    gpus = {
        node.recipe["student"]["name"]: request.gpus * request.tasks
        for node, request in requests
        if node.kind == "evaluation"
    }
    assert gpus == {
        "qwen2.5-1.5b": 1, "qwen2.5-7b": 1, "llama-3.1-8b": 1, "qwen2.5-14b": 1,
        "llama-3.1-70b": 2,
    }  # fmt: skip


def test_a_store_has_threads_more_for_its_rows() -> None:
    plain, stored = (
        {node.kind: request.cpus for node, request in list_requests(*given)}
        for given in (
            ("scale=paper", "arm=single_teacher", "references=false"),
            ("scale=paper", "arm=single_teacher", "references=false", "source=store"),
        )
    )
    assert stored["training"] > plain["training"]
    assert stored["evaluation"] == plain["evaluation"]
    assert stored["kv"] > stored["calibration"]


def test_on_a_cpu_nothing_is_asked_beyond_the_clusters_default() -> None:
    for node, request in list_requests("arm=single_teacher"):
        asked = (request.gpus, request.cpus, request.node_mem_gb)
        assert asked == (0, 1, None), node.name


def test_models_that_are_placed_on_the_cpu_get_no_gpu() -> None:
    on_cpu = ("student.placement.device=cpu", "teachers.a.placement.device=cpu")
    given = ("scale=paper", "arm=single_teacher", "references=false", "budget.num_gpus=1")
    assert all(request.gpus == 0 for _, request in list_requests(*given, *on_cpu))


def test_what_is_stated_wins_over_what_is_counted() -> None:
    given = ("cluster.cpus=3", "cluster.mem_gb=7", "cluster.resources.calibration={gpus: 2}")
    for node, request in list_requests("scale=paper", "arm=single_teacher", *given):
        assert (request.cpus, request.node_mem_gb) == (3, 7.0)
        assert node.kind != "calibration" or request.gpus == 2


def test_of_a_model_without_a_shape_no_memory_is_claimed() -> None:
    from kvdistill.plan.graph import Node
    from kvdistill.plan.resources.task_needs import derive_task_needs
    from tests.cluster.test_slurm_arrays import read_estimate

    student = {"name": "m", "geometry": None, "dtype": "bfloat16"}
    recipe = {"trained": False, "student": student, "teachers": {}, "budget": {"num_gpus": 8}}
    needs = derive_task_needs(Node("evaluation", "r", recipe, {}), read_estimate("scale=paper"), 1)
    assert (needs.gpus, needs.cpus, needs.memory_bytes) == (1, 4, None)
