"""Scores a model on a suite's tasks, through lm-eval: its model class, its loop, our task files."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from lm_eval import evaluator
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill.errors import ConfigError, UserError
from kvdistill.evaluate import builtin
from kvdistill.evaluate.cached_lm import Asking, Progress
from kvdistill.evaluate.hf_backend import Scorer
from kvdistill.evaluate.isolation import frozen, quiet
from kvdistill.evaluate.response_cache import Answers, model_key
from kvdistill.evaluate.results import Evaluation, gathered
from kvdistill.evaluate.suite import Suite
from kvdistill.evaluate.task_data import MissingDataError

TASKS = Path(__file__).parent / "tasks"
MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError)
"""What is raised by rows that lack a column, or hold something else in it."""


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
        cache: a folder for answers, one below it a model; what it holds of this very model is not
            computed again.

    Raises:
        UserError: no task has data, a task is unknown, the logits are not finite, or a prompt is
            too long for the model.
    """
    with frozen(model, tokenizer), quiet():
        if suite.chat_template and tokenizer.chat_template is None:
            raise UserError(
                "tasks.chat_template=true, but the tokenizer has none. Set it to false."
            )
        tasks, missing = load_tasks(suite, data)
        if not tasks:
            raise no_data(suite, missing)
        answers = _answers(model, tokenizer, suite, cache)
        with _engine(model, tokenizer, suite, answers, progress) as asking:
            results = evaluator.evaluate(
                asking, {"tasks": tasks}, samples=_first_items(suite, tasks), bootstrap_iters=0,
                apply_chat_template=suite.chat_template,
            )  # fmt: skip
        assert results is not None
        return gathered(suite, tasks, missing, results["samples"], asking)


def no_data(suite: Suite, missing: Mapping[str, str]) -> UserError:
    """What is said where nothing can be scored."""
    return UserError(f"tasks={suite.name}: no task has data. {'; '.join(missing.values())}")


def load_tasks(suite: Suite, data: Mapping[str, Path]) -> tuple[dict[str, Task], dict[str, str]]:
    """The suite's tasks with their rows, and those whose data is missing with the reason."""
    tasks: dict[str, Task] = {}
    missing: dict[str, str] = {}
    facts: dict[str, Any] = {
        "data_root": suite.data_root,
        "records": {part: str(path) for part, path in data.items()},
    }
    # It reads every task file at once, and hands each task the facts as they then are.
    manager = TaskManager(include_path=TASKS, include_defaults=False, metadata=facts)
    for name in suite.scored:
        try:
            if name.startswith(builtin.PREFIX):
                tasks |= builtin.load(name, suite.data_root)
            else:
                facts |= {"limit": suite.items_of(name), "shots": suite.shots.get(name, 0)}
                tasks[name] = _own_task(name, manager)
        except MissingDataError as error:  # noqa: PERF203
            missing[name] = f"{name}: {error}"
        except MALFORMED as error:
            if suite.data_root is None:
                raise
            told = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(
                f"tasks.data_root={suite.data_root}: the rows of {name} are not those of its "
                f"benchmark ({told}). Copy its files again."
            ) from error
    for task in tasks.values():
        if suite.max_gen_toks is not None and task.OUTPUT_TYPE == "generate_until":
            task.set_config("generation_kwargs", {"max_gen_toks": suite.max_gen_toks}, update=True)
    return tasks, missing


def _own_task(name: str, manager: TaskManager) -> Task:
    if name not in manager.all_tasks:
        known = ", ".join(manager.all_tasks)
        raise UserError(f"tasks.tasks: there is no task {name}. Available: {known}.")
    return manager.load(name)["tasks"][name]


def _first_items(suite: Suite, tasks: Mapping[str, Task]) -> dict[str, list[int]]:
    """What a limit means for lm-eval's own tasks; ours are handed the sampled rows alone."""
    limits = {key: suite.items_of(key.partition("/")[0]) for key in tasks if ":" in key}
    return {
        key: list(range(min(limit, len(tasks[key].eval_docs))))
        for key, limit in limits.items()
        if limit is not None
    }


def _engine(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, suite: Suite,
    answers: Answers, progress: Progress | None,
) -> AbstractContextManager[Asking]:  # fmt: skip
    if suite.backend == "vllm":
        from kvdistill.evaluate.vllm_backend import served  # an optional package

        return served(model, tokenizer, suite, answers, progress)
    return nullcontext(
        Scorer(
            model, tokenizer, batch_size=suite.batch_size, max_length=suite.max_length,
            answers=answers, progress=progress,
        )
    )  # fmt: skip


def _answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, suite: Suite, cache: Path | None
) -> Answers:
    if cache is None:
        return Answers()
    if suite.backend == "vllm":
        from kvdistill.evaluate.vllm_backend import facts  # an optional package

        settings = facts(suite)
    else:
        settings = {"batch_size": suite.batch_size, "max_length": suite.max_length}
    return Answers(cache / f"eval-{model_key(model, tokenizer, settings)[:16]}" / "answers.jsonl")
