"""The scores as a record of Every Eval Ever, schema 0.3.0 (arXiv 2606.14516)."""

from collections.abc import Mapping
from typing import Any

from kvdistill.report.publish.published_run import PublishedRun, TaskOrigin, locate_task

SCHEMA = "0.3.0"
UNSTATED = "unstated"
"""Of an organisation that the command did not name."""


def make_every_eval_ever(run: PublishedRun, repository: str | None) -> dict[str, Any]:
    """A record of all tasks; `repository` is where the model goes, as OWNER/NAME, if that is known.

    Scores are proportions. Where rows are the project's own, the source is `other`.
    """
    owner = repository.partition("/")[0] if repository else UNSTATED
    model = repository or f"{UNSTATED}/{run.name}"
    packages = run.manifest["provenance"]["packages"]
    seconds = str(int(run.ended.timestamp()))
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{run.suite['name']}/{model.replace('/', '_')}/{seconds}",
        "evaluation_timestamp": seconds,
        "retrieved_timestamp": seconds,
        "source_metadata": {
            "source_name": "kvdistill",
            "source_type": "evaluation_run",
            "source_organization_name": owner,
            "evaluator_relationship": "first_party",
        },
        "eval_library": {
            "name": "lm_eval",
            "version": packages["lm-eval"],
            "additional_details": {"tasks": "kvdistill", "suite": str(run.suite["name"])},
        },
        "model_info": {
            "name": run.name,
            "id": model,
            "developer": owner,
            "inference_engine": {
                "name": "vllm" if run.suite.get("backend") == "vllm" else "transformers",
                "version": packages["transformers"],
            },
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "open_weights" if repository else "unknown",
                "parameters": str(run.results["efficiency"]["parameters"]),
                "run": run.folder.name,
            },
        },
        "evaluation_results": [
            make_result(task, scores, locate_task(run, task)) for task, scores in run.tasks.items()
        ],
    }


def make_result(task: str, scores: Mapping[str, Any], origin: TaskOrigin) -> dict[str, Any]:
    """One task's entry of `evaluation_results`."""
    return {
        "evaluation_name": task,
        "source_data": describe_source(task, scores, origin),
        "metric_config": {
            "metric_id": "accuracy",
            "metric_name": str(scores["metric"]),
            "metric_kind": "accuracy",
            "metric_unit": "proportion",
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0.0,
            "max_score": 1.0,
        },
        "score_details": {
            "score": scores["score"],
            "uncertainty": {
                "standard_error": {"value": scores["stderr"], "method": "analytic"},
                "num_samples": scores["n"],
            },
            "details": {
                "chance": str(scores["chance"]),
                "no_answer_found": str(scores["unparsed"]),
                "cut_off": str(scores["truncated"]),
            },
        },
        "generation_config": {
            "generation_args": {"temperature": 0.0},
            "additional_details": {"num_fewshot": str(origin.shots)},
        },
    }


def describe_source(task: str, scores: Mapping[str, Any], origin: TaskOrigin) -> dict[str, Any]:
    """Where the items are from."""
    details = {"version": origin.version} | (
        {"revision": origin.revision} if origin.revision else {}
    )
    if origin.repository is None:
        return {"dataset_name": task, "source_type": "other", "additional_details": details}
    return {
        "dataset_name": task,
        "source_type": "hf_dataset",
        "hf_repo": origin.repository,
        "hf_split": origin.split,
        "samples_number": scores["n"],
        "additional_details": details,
    }
