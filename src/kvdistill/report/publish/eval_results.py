"""The scores as the hub reads them today: `.eval_results/TASK.yaml`, an entry a benchmark.

The format that took the place of `model-index` (huggingface.co/docs/hub/eval-results), written by
huggingface_hub itself. The hub ranks models by them, so only what compares stands there: a
benchmark of the hub, asked as lm-eval asks it, on all of its items. Samples, likelihoods of written
answers and rows of the project's own stand in the card and in the other files.
"""

from collections.abc import Mapping

from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from kvdistill.report.publish.published_run import PublishedRun, TaskOrigin, locate_task


def make_eval_results(run: PublishedRun) -> dict[str, list[dict]]:
    """Task -> what its file holds. Values are percent."""
    files = {}
    for task, scores in run.tasks.items():
        origin = locate_task(run, task)
        if origin.repository is None or not origin.is_public_protocol:
            continue
        if is_sampled(run, task):
            continue
        entry = EvalResultEntry(
            dataset_id=origin.repository,
            task_id=origin.config or "default",
            value=round(100 * scores["score"], 2),
            dataset_revision=origin.revision,
            date=run.ended.isoformat().replace("+00:00", "Z"),
            notes=describe_setup(run, task, origin),
        )
        files[task] = eval_result_entries_to_yaml([entry])
    return files


def is_sampled(run: PublishedRun, task: str) -> bool:
    """Whether the task was scored on a part of its items."""
    limit = run.suite.get("limit")
    return (limit.get(task) if isinstance(limit, Mapping) else limit) is not None


def describe_setup(run: PublishedRun, task: str, origin: TaskOrigin) -> str:
    """What must be known to compare the score: how many items of it, shots, and the protocol."""
    scores = run.tasks[task]
    tainted = scores.get("tainted")
    parts = [
        f"{scores['metric']} in percent over {scores['n']} items of {origin.split}",
        f"{origin.shots} worked examples",
        f"kvdistill's task {task}, version {origin.version}",
        f"{tainted} items stand in the training texts" if tainted else "",
    ]
    return "; ".join(filter(None, parts))
