"""The share of a plan's texts that is cut, as far as split and tokenizer are there to tell."""

from collections.abc import Callable, Iterable
from typing import Any

from kvdistill import layout
from kvdistill.config.compose import Config
from kvdistill.config.schema import Budget
from kvdistill.data.truncation import Truncation
from kvdistill.files import is_complete
from kvdistill.plan import hub
from kvdistill.plan.command_plan import Plan, PlannedRun

MAKES_TOKENIZER = "kvdistill.models.nano."
"""Students of these modules have a tokenizer that the split alone makes."""
NOT_YET = (
    "How many texts budget.seq_len cuts is not known before split and tokenizer are there; a job "
    "refuses them before it trains."
)


def describe_text_lengths(
    plan: Plan, runs: Iterable[PlannedRun], call: Callable[[str, str, Any], Any]
) -> list[str]:
    """A sentence a part of each split that these runs read, by each student's own tokens.

    `call` runs a function in a process that may import torch. Raises ConfigError where more texts
    than `budget.max_unanswered` would lose their answer.
    """
    requests: dict[str, tuple[dict[str, Any], float]] = {}
    trained = [run for run in runs if run.config["trained"]]
    for run in trained:
        if (request := make_request(plan, run)) is not None:
            share = run.config["budget"].get("max_unanswered", Budget.max_unanswered)
            requests.setdefault(repr((request, share)), (request, share))
    if not requests:
        return [NOT_YET] if trained else []
    answers = call(
        "kvdistill.jobs.measure_texts", "measure_all", [each for each, _ in requests.values()]
    )
    sentences: dict[str, None] = {}
    for (request, share), numbers in zip(requests.values(), answers, strict=True):
        for part, counts in numbers.items():
            truncation = Truncation(**counts)
            truncation.check_unanswered(part, request["seq_len"], share)
            sentences[truncation.describe(part, request["seq_len"]) + "."] = None
    return list(sentences)


def make_request(plan: Plan, run: PlannedRun) -> dict[str, Any] | None:
    """What `measure_all` reads for a run; None where split or tokenizer are not there yet."""
    split = layout.artifact_folder(plan.root, run.node.needs["split"])
    student = run.config["student"]
    built = run.node.needs.get("student")
    model = layout.artifact_folder(plan.root, built) if built else None
    if model is not None and not is_complete(model):
        model = None
    if not is_complete(split) or not (model or is_tokenizer_here(student)):
        return None
    return {
        "student": dict(student),
        "style": run.config["style"],
        "seq_len": run.config["budget"]["seq_len"],
        "split": str(split),
        "model": None if model is None else str(model),
    }


def is_tokenizer_here(student: Config) -> bool:
    """Whether the tokenizer of a student can be opened on this machine, or made of the split."""
    if "build" in student:
        return str(student["build"]["_target_"]).startswith(MAKES_TOKENIZER)
    source = student["pretrained"]
    if source.get("path"):
        return True
    return hub.is_cached(hub.Repo(source["hub"], "model", source["revision"]))
