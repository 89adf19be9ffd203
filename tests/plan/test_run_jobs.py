"""Which jobs do a run, what each of them asks for, and when each is done."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("hydra")


def read_cluster(*overrides: str) -> Any:
    from kvdistill.config.compose import compose
    from kvdistill.config.schema import read_group

    return read_group("cluster", compose(list(overrides))["cluster"])


def make_node(*, trained: bool = True, num_gpus: int = 1, shard: str = "none", **tasks: str) -> Any:
    from kvdistill.plan.graph import Node

    student = {"placement": {"device": "auto", "shard": shard}}
    recipe = {
        "trained": trained, "budget": {"num_gpus": num_gpus}, "student": student, "tasks": tasks,
    }  # fmt: skip
    return Node("run", "seed1-abc", recipe, {"split": "split-1"})


@pytest.mark.parametrize(
    ("overrides", "num_gpus", "kinds"),
    [
        (["cluster=local"], 1, ["run"]),
        (["cluster=local"], 2, ["training", "evaluation"]),
        (["cluster=local", "cluster.evaluation.ranks=2"], 1, ["training", "evaluation"]),
        (["cluster=local", "cluster.evaluation.job=own"], 1, ["training", "evaluation"]),
        (["cluster=local", "cluster.evaluation.job=inline"], 2, ["run"]),
        (["cluster=slurm"], 1, ["training", "evaluation"]),
        (["cluster=slurm", "cluster.evaluation.job=inline"], 8, ["run"]),
    ],
)
def test_scoring_is_a_job_of_its_own_where_that_pays(
    overrides: list[str], num_gpus: int, kinds: list[str]
) -> None:
    from kvdistill.plan.run_jobs import list_jobs

    jobs = list(list_jobs([make_node(num_gpus=num_gpus)], read_cluster(*overrides)))
    assert [job.kind for job in jobs] == kinds
    assert jobs[-1].name == "seed1-abc"
    if len(jobs) == 2:
        assert jobs[1].needs == {"split": "split-1", "training": jobs[0].name}


def test_what_is_not_trained_is_one_job_that_scores_and_artefacts_stay_what_they_are() -> None:
    from kvdistill.plan.graph import Node
    from kvdistill.plan.run_jobs import list_jobs

    split = Node("split", "split-1", {}, {})
    jobs = list(list_jobs([split, make_node(trained=False)], read_cluster("cluster=slurm")))
    assert jobs[0] is split
    assert [(job.kind, job.name) for job in jobs[1:]] == [("evaluation", "seed1-abc")]


def test_items_are_divided_but_not_where_one_process_has_all_gpus() -> None:
    from kvdistill.config.schema import EvaluationJob
    from kvdistill.plan.run_jobs import count_tasks, list_jobs

    cluster = read_cluster("cluster=slurm")
    training, scoring = list_jobs([make_node(num_gpus=8)], cluster)
    assert count_tasks(training, EvaluationJob(ranks=4)) == 8
    assert count_tasks(scoring, EvaluationJob(ranks=4)) == 4
    for node in (make_node(trained=False, shard="zero3"), make_node(backend="vllm")):
        *_, scoring = list_jobs([node], cluster)
        assert count_tasks(scoring, EvaluationJob(ranks=4)) == 1


def test_a_training_is_done_before_its_run_is(tmp_path: Path) -> None:
    from kvdistill.plan.run_jobs import is_job_done, list_jobs, locate_jobs

    jobs = list(list_jobs([make_node()], read_cluster("cluster=slurm")))
    folders = locate_jobs(jobs, {"seed1-abc": tmp_path})
    assert set(folders.values()) == {tmp_path}
    stages = []
    for file in (None, "trained.json", "manifest.json"):
        if file:
            (tmp_path / file).write_text("{}")
        stages.append([is_job_done(job.name, tmp_path) for job in jobs])
    assert stages == [[False, False], [True, False], [True, True]]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["cluster.evaluation.job=later"], r"cluster\.evaluation\.job=later must be one of"),
        (["cluster.evaluation.ranks=0"], r"cluster\.evaluation\.ranks must be at least 1, got 0"),
        (
            ["cluster.evaluation.job=inline", "cluster.evaluation.ranks=2"],
            r"ranks=2 with cluster\.evaluation\.job=inline",
        ),
    ],
)
def test_a_way_of_scoring_that_is_none_is_refused_by_name(overrides: list[str], says: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    for cluster in ("local", "slurm"):
        with pytest.raises(ConfigError, match=says):
            compose([f"cluster={cluster}", *overrides])


def test_where_a_run_is_scored_and_in_which_batches_is_in_no_identity() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.identity import run_identity

    plain = compose(["tasks=own", "tasks.batch_size=16"])
    for other in (
        ["cluster.evaluation.job=own", "cluster.evaluation.ranks=2", "tasks.batch_size=16"],
        ["tasks.batch_size=auto"],
    ):
        assert run_identity(compose(["tasks=own", *other])) == run_identity(plain)
