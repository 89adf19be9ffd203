"""Scores a model on a suite's tasks, through lm-eval: its model class, its loop, our task files.

lm-eval leaves the model in eval mode, moves python's random state and lets a model's own generation
settings (a repetition penalty, say) into greedy decoding. All of that is kept or put back here, so
that an evaluation in the middle of training changes nothing of it.
"""

import contextlib
import logging
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lm_eval.api.task
import numpy as np
import torch
from lm_eval import evaluator
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill.errors import UserError
from kvdistill.evaluate import scores
from kvdistill.evaluate.answers import Answers, model_key
from kvdistill.evaluate.extract import INVALID
from kvdistill.evaluate.scorer import Progress, Scorer
from kvdistill.evaluate.sources import MissingDataError, data_hash
from kvdistill.evaluate.suite import Suite
from kvdistill.records import Item, TaskScore

TASKS = Path(__file__).parent / "tasks"


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one model scored on one suite."""

    items: list[Item]
    tasks: dict[str, TaskScore]
    macro: float | None
    """Unweighted mean over the suite's tasks; None where one is missing."""
    macro_by_subject: float | None
    """The same, each task being the mean over its subjects."""
    macro_normalised: float | None
    """The same, each task being normalised by chance."""
    missing: dict[str, str]
    """Tasks without data, and why."""
    data: dict[str, str]
    """Sha256 of each task's rows."""


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    suite: Suite,
    data: Mapping[str, Path],
    progress: Progress | None = None,
    cache: Path | None = None,
) -> Evaluation:
    """Score `model` on every task of `suite`.

    Args:
        model: any causal language model; its state and mode are as before afterwards.
        tokenizer: the model's own.
        suite: what is scored, and how.
        data: the project's own rows: `test` (and `train`, for `train_questions`), JSONL of records.
        progress: called with the answers had and needed, once a kind of request.
        cache: a folder for answers; what it holds of this very model is not computed again.

    Raises:
        UserError: no task has data, a task is unknown, the logits are not finite, or a prompt is
            too long for the model.
    """
    with _frozen(model, tokenizer), _quiet():
        tasks, missing = load_tasks(suite, data)
        if not tasks:
            raise UserError(f"tasks={suite.name}: no task has data. {'; '.join(missing.values())}")
        scorer = Scorer(
            model, tokenizer, batch_size=suite.batch_size, max_length=suite.max_length,
            answers=_answers(model, tokenizer, suite, cache), progress=progress,
        )  # fmt: skip
        results = evaluator.evaluate(
            scorer, {"tasks": tasks}, bootstrap_iters=0, apply_chat_template=suite.chat_template
        )
        assert results is not None
        return _gathered(suite, tasks, missing, results["samples"], scorer)


def load_tasks(suite: Suite, data: Mapping[str, Path]) -> tuple[dict[str, Task], dict[str, str]]:
    """The suite's tasks with their rows, and those whose data is missing with the reason."""
    tasks, missing = {}, {}
    for name in suite.scored:
        facts = {
            "data_root": suite.data_root,
            "limit": suite.items_of(name),
            "shots": suite.shots.get(name, 0),
            "records": {part: str(path) for part, path in data.items()},
        }
        manager = TaskManager(include_path=TASKS, include_defaults=False, metadata=facts)
        if name not in manager.all_tasks:
            known = ", ".join(manager.all_tasks)
            raise UserError(f"tasks.tasks: there is no task {name}. Available: {known}.")
        try:
            task = manager.load(name)["tasks"][name]
        except MissingDataError as error:
            missing[name] = f"{name}: {error}"
            continue
        if suite.max_gen_toks is not None and task.OUTPUT_TYPE == "generate_until":
            task.set_config("generation_kwargs", {"max_gen_toks": suite.max_gen_toks}, update=True)
        tasks[name] = task
    return tasks, missing


def _answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, suite: Suite, cache: Path | None
) -> Answers:
    if cache is None:
        return Answers()
    settings = {"batch_size": suite.batch_size, "max_length": suite.max_length}
    return Answers(cache / f"{model_key(model, tokenizer, settings)}.jsonl")


def _gathered(
    suite: Suite, tasks: Mapping[str, Task], missing: dict[str, str],
    samples: Mapping[str, list[dict[str, Any]]], scorer: Scorer,
) -> Evaluation:  # fmt: skip
    items: list[Item] = []
    by_task: dict[str, TaskScore] = {}
    for name, task in tasks.items():
        metric = next(iter(task.aggregation()))
        mine = _items(name, task, metric, samples[name], scorer)
        chances = {s["doc"]["id"]: s["doc"]["chance"] for s in samples[name]}
        by_task[name] = scores.task_score(metric, mine, chances)
        items += mine
    return Evaluation(
        items=items,
        tasks=by_task,
        macro=scores.macro(by_task, suite.tasks),
        macro_by_subject=scores.macro(by_task, suite.tasks, "by_subject"),
        macro_normalised=scores.macro(by_task, suite.tasks, "normalised"),
        missing=missing,
        data={name: data_hash(task.eval_docs) for name, task in tasks.items()},
    )


def _items(
    name: str, task: Task, metric: str, samples: list[dict[str, Any]], scorer: Scorer
) -> list[Item]:
    """One row a document: the first filter decides, the second is the alternative."""
    requests = {request.doc_id: request for request in task.instances}
    primary, *others = dict.fromkeys(sample["filter"] for sample in samples)
    alternative = {s["doc_id"]: s[metric] for s in samples if s["filter"] in others[:1]}
    items = []
    for sample in samples:
        if sample["filter"] != primary:
            continue
        written = task.OUTPUT_TYPE == "generate_until"
        output = sample["filtered_resps"][0]
        items.append(
            Item(
                task=name,
                item=sample["doc"]["id"],
                doc_hash=sample["doc_hash"],
                prompt_hash=sample["prompt_hash"],
                correct=float(sample[metric]),
                unparsed=written and output == INVALID,
                truncated=written and scorer.was_truncated(requests[sample["doc_id"]]),
                empty=written and not sample["resps"][0][0].strip(),
                alternative=alternative.get(sample["doc_id"]),
            )
        )
    return items


@contextlib.contextmanager
def _frozen(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Keep every random state and the model's mode; decode with nothing but the end tokens."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    training, own, use_cache = model.training, model.generation_config, model.config.use_cache
    pad, side = tokenizer.pad_token, tokenizer.padding_side
    if tokenizer.eos_token_id is None:
        raise UserError("the tokenizer has no end-of-text token, so no generation would ever end.")
    ends = own.eos_token_id if isinstance(own.eos_token_id, list) else [own.eos_token_id]
    ends = sorted({*ends, tokenizer.eos_token_id} - {None})
    try:
        model.generation_config = type(own).from_dict({"eos_token_id": ends})
        model.config.use_cache = True
        yield
    finally:
        model.generation_config, model.config.use_cache = own, use_cache
        model.train(training)
        tokenizer.pad_token, tokenizer.padding_side = pad, side
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep lm-eval's log lines and progress bars off the terminal; errors still show."""
    logger = logging.getLogger("lm_eval")
    level, bar = logger.level, lm_eval.api.task.tqdm
    logger.setLevel(logging.ERROR)
    lm_eval.api.task.tqdm = partial(tqdm, disable=True)
    try:
        yield
    finally:
        logger.setLevel(level)
        lm_eval.api.task.tqdm = bar
