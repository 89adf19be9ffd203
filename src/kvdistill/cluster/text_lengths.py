"""What of a plan's texts is cut, and what of their computation is padding.

As far as split and tokenizer are there to tell.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from kvdistill import layout
from kvdistill.config.check_texts import GOLD
from kvdistill.config.compose import Config
from kvdistill.config.schema import Budget, read_group
from kvdistill.data.truncation import Truncation
from kvdistill.files import is_complete, read_sealed
from kvdistill.plan import hub
from kvdistill.plan.budget import global_batch
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.teaching.answers import get_answer_choice, list_answering_teachers

ENOUGH_REAL = 0.95
"""Share of computed tokens from which on packing is not proposed."""
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
    runs = [run for run in runs if run.config["trained"]]
    written = list(dict.fromkeys(line for run in runs for line in describe_answers(plan, run)))
    return written + measure_lengths(plan, runs, call)


def describe_answers(plan: Plan, run: PlannedRun) -> Iterator[str]:
    """A sentence a teacher whose answers a run trains on: how many there are, and of what kind."""
    choice = get_answer_choice(run.config)
    for role, teacher in list_answering_teachers(run.config).items():
        folder = layout.artifact_folder(plan.root, run.node.needs[f"answers.{role}"])
        if not is_complete(folder):
            yield (
                f"How many answers of {teacher['name']} data.answers={choice} trains on is not "
                f"known before they are written; steps stay, and texts are read more often."
            )
            continue
        made = read_sealed(folder / layout.MANIFEST)
        yield (
            f"{teacher['name']} has answered {made['answers']:,} questions, "
            f"{made['right_share']:.1%} of them rightly ({made['cut']:,} cut off, "
            f"{made['empty']:,} empty): data.answers={choice} trains on {made['kept'][choice]:,}."
        )


def measure_lengths(
    plan: Plan, trained: Sequence[PlannedRun], call: Callable[[str, str, Any], Any]
) -> list[str]:
    """A sentence a part of each split, of the texts with gold answers."""
    requests: dict[str, tuple[dict[str, Any], float]] = {}
    trained = [run for run in trained if get_answer_choice(run.config) == GOLD]
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
    for (request, share), answer in zip(requests.values(), answers, strict=True):
        for part, counts in answer["parts"].items():
            truncation = Truncation(**counts)
            truncation.check_unanswered(part, request["seq_len"], share)
            sentences[truncation.describe(part, request["seq_len"]) + "."] = None
        sentences[describe_real_share(request["batches"], **answer["real_share"])] = None
    return list(sentences)


def describe_real_share(batches: Mapping[str, Any], share: float, packed: float) -> str:
    """One sentence: what of the computed tokens is no padding, and the way out where much is."""
    settings = ", ".join(
        f"train.{name}={str(batches[name]).lower()}" for name in ("group_by_length", "packing")
    )
    sentence = f"{share:.1%} of the tokens that a student computes are texts' own ({settings})"
    if share >= ENOUGH_REAL or batches["packing"]:
        return f"{sentence}."
    return f"{sentence}; with train.packing=true {packed:.1%} would be."


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
        "batches": make_batches(run.config),
        "split": str(split),
        "model": None if model is None else str(model),
    }


def make_batches(config: Config) -> dict[str, Any]:
    """How a run's texts are batched."""
    budget, train = read_group("budget", config["budget"]), config["train"]
    return {
        "batch_size": budget.batch_size,
        "global_batch": global_batch(budget),
        "group_by_length": train["group_by_length"],
        "packing": train["packing"],
    }


def is_tokenizer_here(student: Config) -> bool:
    """Whether the tokenizer of a student can be opened on this machine, or made of the split."""
    if "build" in student:
        return str(student["build"]["_target_"]).startswith(MAKES_TOKENIZER)
    source = student["pretrained"]
    if source.get("path"):
        return True
    return hub.is_cached(hub.Repo(source["hub"], "model", source["revision"]))
