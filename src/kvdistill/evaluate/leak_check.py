"""What the data is checked against before training: items, worked examples, calibration rows.

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
from kvdistill.data.sampler import select_evenly
from kvdistill.data.split import read_split
from kvdistill.errors import UserError
from kvdistill.evaluate import builtin
from kvdistill.evaluate.harness import load_tasks, no_data
from kvdistill.evaluate.isolation import quiet
from kvdistill.evaluate.item_texts import asked, is_private
from kvdistill.evaluate.results import item_id, members, rows_hash
from kvdistill.evaluate.suite import Suite
from kvdistill.evaluate.task_data import data_hash, digest


def own_rows(split: Path) -> dict[str, Path]:
    """The files of a split that the project's own tasks are scored on."""
    return {"test": split / "test.jsonl", "train": split / "train_student.jsonl"}


def validate(recipe: Mapping[str, Any], split: Path) -> dict[str, Any]:
    """The report on a split as it lies on disk, against all that a run is scored on.

    Raises LeakError with the report of a leak, ArtifactError for files that are no split, and
    UserError where no task has data.
    """
    suite: Suite = build_node("tasks", recipe["tasks"])
    settings = DataSettings(
        **{room: build_node(f"data.{room}", recipe["data"][room]) for room in ("split", "leakage")}
    )
    with quiet():
        tasks, missing = load_tasks(suite, own_rows(split))
        if not tasks:
            raise no_data(suite, missing)
        sets = [*calibration(recipe, split), *task_sets(suite, tasks)]
        facts = {
            "missing": missing,
            "tasks_sha256": {
                name: rows_hash(name, tasks) for name in suite.scored if members(name, tasks)
            },
        }
    try:
        report = check_split(split, settings, sets)
    except LeakError as error:
        error.report |= facts
        raise
    for name in suite.scored:
        if drawn_from(name, tasks) == "train":
            report["tainted"][name] = [item.id for item in items(name, tasks)]
    return report | facts


def recheck_split(request: Mapping[str, Any]) -> dict[str, Any]:
    """Checks a split again as it lies on disk, and writes no file; runs in a process of its own.

    `request` is {"recipe": the check's recipe, "split": the folder's path}. Returns {"report": the
    report, None where the folder is no split or no task has data, "fault": the one line of what
    is wrong, empty where all is well}, which is JSON on its way back.
    """
    try:
        return {"report": validate(request["recipe"], Path(request["split"])), "fault": ""}
    except LeakError as error:
        return {"report": error.report, "fault": str(error)}
    except UserError as error:
        return {"report": None, "fault": str(error)}


def calibration(recipe: Mapping[str, Any], split: Path) -> Iterator[DocumentSet]:
    """The rows of the teachers' half that K and V are measured on; none without teachers."""
    wanted = recipe["calibration_rows"]
    if wanted is None:
        return
    texts = len(build_node("style", recipe["style"]).templates)
    rows = read_split(split).train_teachers
    # As train/calibrate.py counts: rendered texts, a quarter more to judge the fit on.
    chosen = select_evenly(len(rows) * texts, wanted + max(wanted // 4, 2))
    distinct = dict.fromkeys(text // texts for text in chosen)
    yield DocumentSet("calibration", "calibration", make_documents([rows[row] for row in distinct]))


def task_sets(suite: Suite, tasks: Mapping[str, Task]) -> Iterator[DocumentSet]:
    """Each task's items and worked examples; not those asked of training rows on purpose."""
    for name in suite.scored:
        origin = drawn_from(name, tasks)
        if not members(name, tasks) or origin == "train":
            continue
        private = any(is_private(key, tasks[key]) for key in members(name, tasks))
        role: Role = "drawn" if origin else "task"
        yield DocumentSet(name, role, list(items(name, tasks)), private)
        shown = list(examples(name, tasks))
        if shown:
            yield DocumentSet(f"{name}.examples", "examples", shown, private)


def drawn_from(name: str, tasks: Mapping[str, Task]) -> str | None:
    """The part of the split whose rows the task asks; None for a benchmark's own rows."""
    if name not in tasks or name.startswith(builtin.PREFIX):
        return None
    facts = tasks[name].config.metadata or {}
    return None if "repo" in facts else facts["split"]


def items(name: str, tasks: Mapping[str, Task]) -> Iterator[Document]:
    """A task's items under the ids that its scores have."""
    for key in members(name, tasks):
        for number, doc in enumerate(tasks[key].eval_docs):
            yield Document(item_id(key, doc, number), asked(key, tasks[key], doc))


def examples(name: str, tasks: Mapping[str, Task]) -> Iterator[Document]:
    """The worked examples that stand, or may stand, before a question."""
    seen: dict[str, None] = {}
    for key in members(name, tasks):
        task = tasks[key]
        pool = [shot for doc in task.eval_docs for shot in doc.get("shots", ())]
        if key.startswith(builtin.PREFIX) and task.config.num_fewshot:
            # A pool that is the task itself: lm-eval shows every item but the one it asks.
            pool = list(task.fewshot_docs())
            pool = [] if data_hash(pool) == data_hash(task.eval_docs) else pool
        seen |= dict.fromkeys(asked(key, task, shot) for shot in pool)
    for text in seen:
        yield Document(digest(text), text)
