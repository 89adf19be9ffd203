"""Which jobs do a run: one that trains and scores, or one of each kind, the second after the first.

A job that scores needs one GPU where training needs eight, so on a cluster, and wherever training
takes several processes, the two are apart (`cluster.evaluation.job=auto`). Both work in the run's
folder: `trained.json` there says that the first is done, the manifest that the second is.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from kvdistill import layout
from kvdistill.config.check_models import WHOLE, read_placement
from kvdistill.config.schema import EvaluationJob, LocalCluster, Slurm
from kvdistill.files import is_complete
from kvdistill.plan.graph import Node
from kvdistill.plan.world_size import world_size

TRAINING = "training"
"""Kind of a job that trains and leaves scoring to another; and the role in which that needs it."""
EVALUATION = "evaluation"
"""Kind of a job that scores a model: a trained student, or one as it is."""


def name_training(run: str) -> str:
    """The name of the job that trains a run."""
    return f"{run}.{TRAINING}"


def list_jobs(nodes: Iterable[Node], cluster: LocalCluster | Slurm) -> Iterator[Node]:
    """The jobs of artefacts and runs, each after those that it waits for.

    A run's last job has the run's name. Kinds of job of a run: `run` trains and scores, `training`
    trains alone, `evaluation` scores alone.
    """
    for node in nodes:
        if node.kind != "run":
            yield node
        elif not node.recipe["trained"]:
            yield replace(node, kind=EVALUATION)
        elif is_evaluation_apart(node, cluster):
            training = replace(node, kind=TRAINING, name=name_training(node.name))
            yield training
            needs = {**node.needs, TRAINING: training.name}
            yield replace(node, kind=EVALUATION, needs=needs)
        else:
            yield node


def is_evaluation_apart(node: Node, cluster: LocalCluster | Slurm) -> bool:
    """Whether a job of its own scores a run that trains."""
    setting = cluster.evaluation.job
    if setting != "auto":
        return setting == "own"
    # On this machine a process more costs seconds, which a run of one process does not win back.
    several = max(world_size(node.kind, node.recipe), cluster.evaluation.ranks) > 1
    return isinstance(cluster, Slurm) or several


def count_tasks(node: Node, evaluation: EvaluationJob) -> int:
    """Processes of a job.

    Those that score divide the items. A model that no GPU holds is scored by one, over all GPUs of
    its job, and so is whatever vLLM serves, which makes batches of its own.
    """
    if node.kind != EVALUATION:
        return world_size("run" if node.kind == TRAINING else node.kind, node.recipe)
    student = node.recipe["student"]
    divided = read_placement(student, "student").shard not in WHOLE
    return 1 if divided or node.recipe["tasks"].get("backend") == "vllm" else evaluation.ranks


def locate_jobs(jobs: Iterable[Node], folders: Mapping[str, Path]) -> dict[str, Path]:
    """Name of each job -> the folder that it works in: both jobs of a run have the run's."""
    return {job.name: folders[job.name.removesuffix(f".{TRAINING}")] for job in jobs}


def is_job_done(name: str, folder: Path) -> bool:
    """Whether a job of this name has nothing left to do in its folder."""
    return is_complete(folder) or (name.endswith(f".{TRAINING}") and is_trained(folder))


def is_trained(folder: Path) -> bool:
    """Whether a run's student is trained and its scores are still to come."""
    return (folder / layout.TRAINED).is_file()
