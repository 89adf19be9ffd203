"""Scores a model on a suite's tasks, through lm-eval: its model class, its loop, our task files."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from lm_eval import evaluator
from lm_eval.api.task import Task
from lm_eval.tasks import TaskManager
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kvdistill import distributed
from kvdistill.data.chat_template import check_chat_template
from kvdistill.errors import ConfigError, UserError
from kvdistill.evaluate import builtin
from kvdistill.evaluate.backends.hf import CachedHFLM
from kvdistill.evaluate.cached_lm import CachedLM, Progress
from kvdistill.evaluate.isolation import preserve_state, silence_lm_eval
from kvdistill.evaluate.response_cache import ResponseCache, hash_model
from kvdistill.evaluate.results import Evaluation, collect_results
from kvdistill.evaluate.suite import Suite
from kvdistill.evaluate.task_data import MissingDataError
from kvdistill.plan.task_files import read_task_metadata

TASKS = Path(__file__).parent / "tasks"
LoadedTasks = tuple[dict[str, Task], dict[str, str]]
"""What `load_tasks` returns."""
MALFORMED_ROW_ERRORS = (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError)
"""What is raised by rows that lack a column, or hold something else in it."""


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    suite: Suite,
    data: Mapping[str, Path],
    progress: Progress | None = None,
    cache: Path | None = None,
    *,
    divide: bool = False,
    loaded: LoadedTasks | None = None,
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
        divide: whether every rank of the job calls this with its own copy of the model, so that
            each answers a share of the items; all of them return the same.
        loaded: of this suite and data, for who scores again and again; their requests are made
            anew each time.

    Raises:
        UserError: no task has data, a task is unknown, the logits are not finite, or a prompt is
            too long for the model.
    """
    with preserve_state(model, tokenizer), silence_lm_eval():
        if suite.chat_template:
            check_chat_template(tokenizer, suite.date, "tasks.chat_template", "tasks.date")
        tasks, missing = loaded or load_tasks(suite, data)
        if not tasks:
            raise make_no_data_error(suite, missing)
        responses = _open_cache(model, tokenizer, suite, cache)
        with _open_engine(model, tokenizer, suite, responses, progress, divide=divide) as lm:
            if suite.chat_template:
                lm.use_chat_template(suite.date)
            results = evaluator.evaluate(
                lm, {"tasks": tasks}, samples=_limit_builtin_tasks(suite, tasks), bootstrap_iters=0,
                apply_chat_template=suite.chat_template,
            )  # fmt: skip
        assert results is not None
        return collect_results(suite, tasks, missing, results["samples"], lm)


def make_no_data_error(suite: Suite, missing: Mapping[str, str]) -> UserError:
    """The error of a suite none of whose tasks has data, with the reason of each."""
    return UserError(f"tasks={suite.name}: no task has data. {'; '.join(missing.values())}")


def load_tasks(suite: Suite, data: Mapping[str, Path]) -> LoadedTasks:
    """(task key -> task with its rows, name of a task without data -> reason).

    `data` is as in `evaluate`. Raises UserError for an unknown task, and ConfigError for a local
    copy whose rows are not those of its benchmark.
    """
    tasks: dict[str, Task] = {}
    missing: dict[str, str] = {}
    given = {
        "data_root": suite.data_root,
        "revisions": dict(suite.revisions),
        "records": {part: str(path) for part, path in data.items()},
    }
    facts: dict[str, Any] = dict(given)  # an empty one would be taken for none
    # It reads every task file once, and passes each task this very dict as it is when the task is
    # loaded, so what concerns that task is written into it before each; the metadata of included
    # files too, which lm-eval would drop for that of the file that includes them.
    manager = TaskManager(include_path=TASKS, include_defaults=False, metadata=facts)
    for name in suite.all_tasks:
        try:
            if name.startswith(builtin.PREFIX):
                tasks |= builtin.load_builtin(name, suite, choose_items(name, suite))
            else:
                facts.clear()
                facts |= {**(read_task_metadata(name) or {}), **given}
                facts |= {"limit": suite.get_item_limit(name), "shots": suite.count_shots(name)}
                tasks[name] = _load_own_task(name, manager)
        except MissingDataError as error:  # noqa: PERF203
            missing[name] = f"{name}: {error}"
        except MALFORMED_ROW_ERRORS as error:
            if suite.data_root is None:
                raise  # no copy of the user's is at fault
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(
                f"tasks.data_root={suite.data_root}: the rows of {name} are not those of its "
                f"benchmark ({reason}). Copy its files again."
            ) from error
    for task in tasks.values():
        if suite.max_gen_toks is not None and task.OUTPUT_TYPE == "generate_until":
            task.set_config("generation_kwargs", {"max_gen_toks": suite.max_gen_toks}, update=True)
    return tasks, missing


def choose_items(entry: str, suite: Suite) -> list[str] | None:
    """The ids that our own task of the same data set would score under the entry's limit.

    None for all, and where we have no task of it: then the first items are scored.
    """
    limit = suite.get_item_limit(entry)
    own = builtin.find_own_task(entry) if limit is not None else None
    if own is None:
        return None
    as_own = replace(suite, tasks=[own], beside=[], limit=limit, shots={})
    tasks, missing = load_tasks(as_own, {})
    if missing:
        raise MissingDataError(missing[own])
    return [doc["id"] for doc in tasks[own].eval_docs]


def _load_own_task(name: str, manager: TaskManager) -> Task:
    if name not in manager.all_tasks:
        known = ", ".join(manager.all_tasks)
        raise UserError(f"tasks.tasks: there is no task {name}. Available: {known}.")
    return manager.load(name)["tasks"][name]


def _limit_builtin_tasks(suite: Suite, tasks: Mapping[str, Task]) -> dict[str, list[int]]:
    """Key -> indices of the first items, for lm-eval's tasks that have a limit.

    Our own tasks, and lm-eval's on their data sets, are loaded with the sampled rows alone.
    """
    limits = {
        key: suite.get_item_limit(entry)
        for key in tasks
        if ":" in key and builtin.find_own_task(entry := key.partition("/")[0]) is None
    }
    return {
        key: list(range(min(limit, len(tasks[key].eval_docs))))
        for key, limit in limits.items()
        if limit is not None
    }


def _open_engine(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, suite: Suite,
    responses: ResponseCache, progress: Progress | None, *, divide: bool,
) -> AbstractContextManager[CachedLM]:  # fmt: skip
    if suite.backend == "vllm":
        if divide and distributed.count_ranks() > 1:
            raise UserError(
                f"tasks.backend=vllm scores in one process, and this job has "
                f"{distributed.count_ranks()}. Use cluster.evaluation.job=own."
            )
        from kvdistill.evaluate.backends.vllm import open_vllm  # an optional package

        return open_vllm(model, tokenizer, suite, responses, progress)
    return nullcontext(
        CachedHFLM(
            model, tokenizer, batch_size=suite.batch_size, max_length=suite.max_length,
            responses=responses, progress=progress, divide=divide,
        )
    )  # fmt: skip


def _open_cache(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, suite: Suite, cache: Path | None
) -> ResponseCache:
    if cache is None:
        return ResponseCache()
    if suite.backend == "vllm":
        from kvdistill.evaluate.backends.vllm import make_cache_settings  # an optional package

        settings = make_cache_settings(suite)
    else:
        settings = {"batch_size": suite.batch_size, "max_length": suite.max_length}
    # Appending to one file from several nodes is not safe on every network's disk.
    rank = distributed.get_rank()
    name = f"answers.{rank}.jsonl" if rank else "answers.jsonl"
    return ResponseCache(cache / f"eval-{hash_model(model, tokenizer, settings)[:16]}" / name)
