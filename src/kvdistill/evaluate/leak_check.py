"""The leak check: a split against all it is scored on (items, worked examples), before training.

Fails closed: a leak raises, and a task whose rows are not to be had is named as unchecked. The
rows are hashed, so that a run can tell whether it is scored on the ones that were checked.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lm_eval.api.task import Task

from kvdistill.config.build import build_node
from kvdistill.data.build import DataSettings, LeakError, check_split, make_documents
from kvdistill.data.leakage import Document, DocumentSet, Role
from kvdistill.data.rows.teacher_answers import read_answer_file
from kvdistill.data.sampler import select_evenly
from kvdistill.data.split import read_split
from kvdistill.errors import UserError
from kvdistill.evaluate import builtin
from kvdistill.evaluate.harness import load_tasks, make_no_data_error
from kvdistill.evaluate.isolation import silence_lm_eval
from kvdistill.evaluate.item_texts import format_question, is_private
from kvdistill.evaluate.results import hash_task_rows, list_task_keys, make_item_id
from kvdistill.evaluate.suite import Suite
from kvdistill.evaluate.task_data import digest_text, hash_rows


def locate_scored_rows(split: Path) -> dict[str, Path]:
    """The files of a split that the project's own tasks are scored on."""
    return {"test": split / "test.jsonl", "train": split / "train_student.jsonl"}


def validate_split(
    recipe: Mapping[str, Any], split: Path, answers: Mapping[str, Path] | None = None
) -> dict[str, Any]:
    """The report on a split as it lies on disk, against all that a run is scored on.

    With it go the `answers` of teachers that are trained on: role -> folder.

    Raises LeakError with the report of a leak, ArtifactError for files that are no split, and
    UserError where no task has data.
    """
    suite: Suite = build_node("tasks", recipe["tasks"])
    settings = DataSettings(
        **{part: build_node(f"data.{part}", recipe["data"][part]) for part in ("split", "leakage")}
    )
    with silence_lm_eval():
        tasks, missing = load_tasks(suite, locate_scored_rows(split))
        if not tasks:
            raise make_no_data_error(suite, missing)
        sets = [
            *list_calibration_sets(recipe, split),
            *list_answer_sets(answers or {}),
            *list_task_sets(suite, tasks),
        ]
        facts = {
            "missing": missing,
            "tasks_sha256": {
                name: hash_task_rows(name, tasks)
                for name in suite.all_tasks
                if list_task_keys(name, tasks)
            },
        }
    try:
        report = check_split(split, settings, sets)
    except LeakError as error:
        # The report of a leak is kept too, and must name what was left unchecked.
        error.report |= facts
        raise
    for name in suite.all_tasks:
        if find_split_part(name, tasks) == "train":
            report["tainted"][name] = [item.id for item in list_items(name, tasks)]
    return report | facts


def recheck_split(request: Mapping[str, Any]) -> dict[str, Any]:
    """Checks a split again as it lies on disk, and writes no file; runs in a process of its own.

    `request` is {"recipe": the check's recipe, "split": the folder's path}. Returns {"report": the
    report, None where the folder is no split or no task has data, "fault": the one line of what
    is wrong, empty where all is well}, which is JSON on its way back.
    """
    try:
        return {"report": validate_split(request["recipe"], Path(request["split"])), "fault": ""}
    except LeakError as error:
        return {"report": error.report, "fault": str(error)}
    except UserError as error:
        return {"report": None, "fault": str(error)}


def list_calibration_sets(recipe: Mapping[str, Any], split: Path) -> Iterator[DocumentSet]:
    """The rows of the teachers' half that K and V are calibrated on; none without teachers."""
    fit_rows = recipe["calibration_rows"]
    if fit_rows is None:
        return
    texts = len(build_node("style", recipe["style"]).templates)
    rows = read_split(split).train_teachers
    # As train/calibrate.py counts: rendered texts, a quarter more to judge the fit on.
    chosen = select_evenly(len(rows) * texts, fit_rows + max(fit_rows // 4, 2))
    distinct = dict.fromkeys(text // texts for text in chosen)
    yield DocumentSet("calibration", "calibration", make_documents([rows[row] for row in distinct]))


def list_answer_sets(answers: Mapping[str, Path]) -> Iterator[DocumentSet]:
    """What each teacher wrote, the texts that are whole: an evaluation item may stand in one.

    Compared as worked answers are: with what is scored, not with the split that they answer.
    """
    for role, folder in answers.items():
        documents = [
            Document(f"{each.record}:{each.style}@{role}", each.text)
            for each in read_answer_file(folder)
            if each.whole
        ]
        yield DocumentSet(f"train_student.answers.{role}", "rationale", documents)


def list_task_sets(suite: Suite, tasks: Mapping[str, Task]) -> Iterator[DocumentSet]:
    """Each task's items and worked examples, except tasks made of training rows on purpose."""
    for name in suite.all_tasks:
        origin = find_split_part(name, tasks)
        if not list_task_keys(name, tasks) or origin == "train":
            continue
        private = any(is_private(key, tasks[key]) for key in list_task_keys(name, tasks))
        role: Role = "drawn" if origin else "task"
        yield DocumentSet(name, role, list(list_items(name, tasks)), private)
        worked_examples = list(list_examples(name, tasks))
        if worked_examples:
            yield DocumentSet(f"{name}.examples", "examples", worked_examples, private)


def find_split_part(name: str, tasks: Mapping[str, Task]) -> str | None:
    """The part of the split that the task's rows are of; None for a benchmark's own rows."""
    if name not in tasks or name.startswith(builtin.PREFIX):
        return None
    facts = tasks[name].config.metadata or {}
    return None if "repo" in facts else facts["split"]


def list_items(name: str, tasks: Mapping[str, Task]) -> Iterator[Document]:
    """A task's items under the ids that its scores have."""
    for key in list_task_keys(name, tasks):
        for number, doc in enumerate(tasks[key].eval_docs):
            yield Document(make_item_id(key, doc, number), format_question(key, tasks[key], doc))


def list_examples(name: str, tasks: Mapping[str, Task]) -> Iterator[Document]:
    """The worked examples that stand, or may stand, before a question."""
    seen: dict[str, None] = {}
    for key in list_task_keys(name, tasks):
        task = tasks[key]
        pool = [shot for doc in task.eval_docs for shot in doc.get("shots", ())]
        if key.startswith(builtin.PREFIX) and task.config.num_fewshot:
            # A pool that is the task itself: lm-eval shows every item but the one it asks.
            pool = list(task.fewshot_docs())
            pool = [] if hash_rows(pool) == hash_rows(task.eval_docs) else pool
        seen |= dict.fromkeys(format_question(key, task, shot) for shot in pool)
    for text in seen:
        yield Document(digest_text(text), text)
