"""The scores in the shape of lm-evaluation-harness's results_*.json, for what reads that."""

from typing import Any

from kvdistill.report.publish.published_run import PublishedRun, locate_task


def make_lm_eval_results(run: PublishedRun) -> dict[str, Any]:
    """results, versions, n-shot, n-samples and higher_is_better by task, and what scored it.

    A metric's key is `METRIC,none`, as lm-eval writes that of an unnamed filter.
    """
    packages = run.manifest["provenance"]["packages"]
    origins = {task: locate_task(run, task) for task in run.tasks}
    return {
        "results": {
            task: {
                "alias": task,
                f"{scores['metric']},none": scores["score"],
                f"{scores['metric']}_stderr,none": scores["stderr"],
            }
            for task, scores in run.tasks.items()
        },
        "group_subtasks": {task: [] for task in run.tasks},
        "configs": {
            task: {
                "task": task,
                "dataset_path": origin.repository or "kvdistill",
                "dataset_name": origin.config,
                "test_split": origin.split,
                "num_fewshot": origin.shots,
                "metadata": {"version": origin.version, "revision": origin.revision},
            }
            for task, origin in origins.items()
        },
        "versions": {task: origin.version for task, origin in origins.items()},
        "n-shot": {task: origin.shots for task, origin in origins.items()},
        "higher_is_better": {task: {s["metric"]: True} for task, s in run.tasks.items()},
        "n-samples": {task: {"effective": s["n"]} for task, s in run.tasks.items()},
        "config": {
            "model": run.suite.get("backend", "hf"),
            "model_args": {"pretrained": run.name},
            "model_num_parameters": run.results["efficiency"]["parameters"],
            "batch_size": run.suite.get("batch_size"),
            "limit": run.suite.get("limit"),
        },
        "git_hash": run.manifest["provenance"].get("git_commit"),
        "date": run.ended.timestamp(),
        "transformers_version": packages["transformers"],
        "lm_eval_version": packages["lm-eval"],
        "model_source": run.suite.get("backend", "hf"),
        "model_name": run.name,
        "model_name_sanitized": run.name,
    }
