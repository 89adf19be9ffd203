"""From runs/<study>/ to a Study. What is unfinished is kept by name, never skipped in silence."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyarrow import ArrowException

from kvdistill import layout
from kvdistill.errors import ArtifactError, UserError
from kvdistill.files import check_hashes, read_json, read_sealed
from kvdistill.history import History, read_history
from kvdistill.plan.code.accepted import AcceptedCode
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.identity import science_of
from kvdistill.plan.labels.arm_labels import ArmLabels
from kvdistill.plan.study_plan import StudyPlan
from kvdistill.plan.tuning.record import Tuning
from kvdistill.stats.audit.same_students import find_same_students
from kvdistill.stats.audit.tuning import count_trials, count_varied
from kvdistill.stats.audit.withdrawn import drop_withdrawn, read_withdrawn
from kvdistill.stats.item_matrix import ItemReader
from kvdistill.stats.study import (
    EQUAL_STEPS,
    Arm,
    QuestionRecords,
    Run,
    Scores,
    Study,
    WithdrawnArm,
)

RECORDS = (
    layout.RESULTS, layout.ITEMS, layout.CURVES, layout.ROUTING, layout.VALIDATION_TEXTS,
)  # fmt: skip
"""What a report reads of a finished run."""
GONE = "gone"
"""State of a run whose folder a plan names and nobody finds."""
UNREADABLE_STATE = "unreadable"
NOT_READ = "no number of"
"""How a problem says that a folder is there and cannot be read."""
UNREADABLE = (
    UserError, OSError, LookupError, TypeError, ValueError, AttributeError, ArrowException,
)  # fmt: skip
"""What reading a folder raises that was cut, edited or half copied: any of these, anywhere."""
SCORE_TOLERANCE = 1e-6
"""Largest difference between a score in results.json and the mean of its items."""


def load_study(folders: Sequence[Path]) -> Study:
    """The study, or several joined. Raises ArtifactError where a plan is missing or broken.

    A run whose folder is gone, half there or altered is no reason to stop: it comes back without
    scores, in a state that says so, and with its sentence in `Study.problems`.
    """
    reader = ItemReader()
    runs: dict[str, Run] = {}
    references: dict[str, Run] = {}
    questions: dict[str, QuestionRecords] = {}
    problems: list[str] = []
    commands: list[str] = []
    withdrawn: list[WithdrawnArm] = []
    for folder in map(Path, folders):
        plan = read_json(folder / layout.PLAN)
        commands += plan.get("commands", [])
        root = folder.resolve().parent.parent
        # A plan from before labels were kept apart: its means would be over several recipes.
        ArmLabels(root, StudyPlan.from_json(plan, folder))
        for identity, node in plan["runs"].items():
            if identity not in runs or not runs[identity].done:
                runs[identity] = read_run(identity, node, root, reader, problems)
        identities_by_teacher = plan.get("references") or {}
        for name, identity in identities_by_teacher.items():
            run = runs[identity]
            taken = references.get(name, run).identity != identity
            references[f"{folder.name}: {name}" if taken else name] = run
        accepted = AcceptedCode(plan.get("accepted_code", ()))
        keys = {n: n if n not in questions else f"{folder.name}: {n}" for n in plan["questions"]}
        for name, node in plan["questions"].items():
            questions[keys[name]] = read_question(keys[name], node, runs, accepted)
        for name, node in (plan.get("tunings") or {}).items():
            if name in keys:  # else its trials are all that there is of it yet
                questions[keys[name]].tuning = Tuning.from_json(node)
        withdrawn += read_withdrawn(plan, keys, runs)
    history = read_histories(folders)
    set_trials(questions, history, [Path(folder).name for folder in folders])
    runs = drop_withdrawn(runs, questions, references, withdrawn)
    problems += find_same_students(questions)
    budget_files = [folder / f"{layout.BUDGET}.json" for folder in map(Path, folders)]
    budgets = [read_json(path) for path in budget_files if path.exists()]
    reports = {f.name: f / layout.VALIDATION_REPORT for f in map(Path, folders)}
    return Study(
        name=" + ".join(Path(folder).name for folder in folders),
        folders=[Path(folder) for folder in folders],
        tasks=order_tasks(runs.values()),
        questions=questions,
        runs=runs,
        references=references,
        budgets=budgets,
        validations={name: read_json(path) for name, path in reports.items() if path.exists()},
        commands=list(dict.fromkeys(commands)),
        problems=problems,
        history=history,
        withdrawn=withdrawn,
    )


def set_trials(
    questions: Mapping[str, QuestionRecords], history: History, studies: Collection[str]
) -> None:
    """Gives every arm the number of variants of its training that were tried before it."""
    planned = [e.index for e in history.events if e.study in studies and e.event == "planned"]
    # What was tried later, in another study, cannot have led to these settings.
    last = max(planned, default=len(history.events))
    before = [e for e in history.events if e.index <= last or e.study in studies]
    trials, varied = count_trials(History(before)), count_varied(History(before))
    for question in questions.values():
        for arm in question.arms.values():
            names = {str(run.config.get("arm", run.arm)) for run in arm.runs.values()}
            arm.trials = max((trials.get(name, 1) for name in names), default=1)
            if question.tuning is not None:
                # Its settings came from its own trials, and from what was tried by hand before.
                own = question.tuning.arms.get(arm.label)
                by_hand = max((varied.get(name, 0) for name in names), default=0)
                arm.trials = by_hand + (len(own.trials) if own is not None else 1)


def list_unreadable_runs(study: Study) -> list[str]:
    """The problems of runs whose folder is there and holds what nobody wrote, with the way out."""
    return [problem for problem in study.problems if f": {NOT_READ} " in problem]


def read_histories(folders: Sequence[Path]) -> History:
    """The record of the studies' root; of several roots one behind the other."""
    joined = History()
    for root in dict.fromkeys(Path(folder).resolve().parent.parent for folder in folders):
        history = read_history(root)
        joined.problems.extend(history.problems)
        for event in history.events:
            joined.events.append(replace(event, index=len(joined.events)))
    return joined


def read_question(
    name: str,
    node: Mapping[str, Any],
    runs: Mapping[str, Run],
    accepted_code: AcceptedCode,
) -> QuestionRecords:
    """A question of plan.json with its runs in place of their identities."""
    declared = node.get("declared") or {}
    arms = {
        label: Arm(
            label=label,
            runs={int(seed): runs[i] for seed, i in seeds.items()},
            declared=declared.get(label, ()),
            accepted_code=accepted_code,
        )
        for label, seeds in node["arms"].items()
    }
    return QuestionRecords(
        name=name,
        text=str(node.get("question") or name),
        arms=arms,
        primary=node.get("primary"),
        named_baseline=node.get("baseline"),
        hypotheses=node.get("hypotheses") or (),
        criteria=node.get("criteria") or (),
        figure=node.get("figure"),
        match=node.get("match") or EQUAL_STEPS,
        matched=node.get("matched") or {},
        differs=node.get("differs") or (),
        accepted_code=accepted_code,
    )


def read_run(
    identity: str, node: Mapping[str, Any], root: Path, reader: ItemReader, problems: list[str]
) -> Run:
    """The run of a plan's entry; where its folder cannot be read, without scores and named."""
    planned = Run(
        identity=identity,
        folder=root / node["folder"],
        arm=str(node["arm"]),
        seed=int(node["seed"]),
        trained=bool(node["trained"]),
        recipe=str(node.get("recipe", "")),
        foretold=node.get("foretold") or {},
    )
    name = f"{planned.arm}, seed {planned.seed}"
    if not planned.folder.is_dir():
        problems.append(f"{name}: {planned.folder} is gone: deleted, moved or renamed.")
        return replace(planned, state=GONE)
    contradictions: list[str] = []
    try:
        run = read_records(planned, reader, contradictions)
    except UNREADABLE as error:
        line = " ".join(str(error).split())
        cause = line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"
        problems.append(f"{name}: {NOT_READ} {planned.folder.name} is read. {cause}")
        return replace(planned, state=UNREADABLE_STATE)
    problems += contradictions
    return run


def read_records(planned: Run, reader: ItemReader, problems: list[str]) -> Run:
    """The run with what its folder holds; an unfinished one has its state and no scores."""
    folder = planned.folder
    if not (folder / layout.MANIFEST).is_file():
        path = folder / layout.STATUS
        status = read_json(path) if path.exists() else {}
        state = str(status.get("state", "missing"))
        error = str(status.get("error", "")) if state == "failed" else ""
        # A job that says done before its manifest stands has not finished writing.
        state = "unfinished" if state == "done" else state
        return replace(planned, state=state, error=error, config=read_unfinished_config(folder))
    manifest = read_sealed(folder / layout.MANIFEST)
    kept = manifest["files"]
    check_hashes(folder, {name: kept[name] for name in RECORDS if name in kept})
    results = read_json(folder / layout.RESULTS)
    path = folder / layout.ITEMS
    items = reader(path) if path.exists() else {}
    return replace(
        planned,
        manifest=manifest,
        config=read_frozen_config(folder),
        efficiency=results.get("efficiency") or {},
        generalisation=results.get("generalisation") or {},
        counterparts=results.get("counterparts") or {},
        scores={
            task: read_scores(planned, task, result, items.get(task), problems)
            for task, result in results["tasks"].items()
        },
        unscored_tasks=tuple(results.get("missing") or ()),
        outside_macro=tuple(results.get("beside") or ()),
    )


def read_unfinished_config(folder: Path) -> Mapping[str, Any]:
    """As read_frozen_config; empty where nothing can be read: its command freezes it again."""
    try:
        return read_frozen_config(folder)
    except UNREADABLE:
        return {}


def read_frozen_config(folder: Path) -> Mapping[str, Any]:
    """What the run was planned as. Raises ArtifactError where nothing can be held against it."""
    config = read_recipe(folder).recipe
    try:
        science_of(dict(config))
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"{folder / layout.CONFIG} lacks {error}, so nothing can be compared with it: another "
            f"version of kvdistill has planned it. Delete {folder} and repeat its command."
        ) from error
    return config


def read_scores(
    run: Run, task: str, result: Mapping[str, Any], answered: Any, problems: list[str]
) -> Scores:
    """A task's scores; where items are kept their mean is the score; a contradiction is told."""
    score = float(result["score"])
    if not 0 <= score <= 1:
        raise ArtifactError(
            f"{run.folder / 'results.json'}: tasks.{task}.score must be in [0, 1], got {score}. "
            "Scores are shares, not percent; evaluate the run again."
        )
    correct, items = answered or (None, None)
    if correct is None:
        problems.append(f"{run.folder.name}: no items of {task}, so no paired test.")
    else:
        mean = float(np.mean(correct, dtype=np.float64))
        if abs(mean - score) > SCORE_TOLERANCE:
            problems.append(
                f"{run.folder.name}: {task} is {score:.4f} in results.json and {mean:.4f} over its "
                "items; the items count."
            )
        score = mean
    return Scores(
        task=task,
        metric=str(result.get("metric", "")),
        score=score,
        chance=float(result.get("chance") or 0),
        n=int(result.get("n") or (0 if correct is None else len(correct))),
        unparsed=float(result.get("unparsed") or 0),
        truncated=float(result.get("truncated") or 0),
        empty=float(result.get("empty") or 0),
        marked=result.get("marked"),
        alternative=result.get("alternative"),
        disagree=result.get("disagree"),
        by_subject=result.get("by_subject"),
        normalised=result.get("normalised"),
        tainted=result.get("tainted"),
        clean=result.get("clean"),
        subjects=1 if items is None or items.subjects is None else int(items.subjects.max()) + 1,
        correct=correct,
        items=items,
    )


def order_tasks(runs: Collection[Run]) -> list[str]:
    """The tasks of the macro average, in the order of the results that first name them."""
    named = dict.fromkeys(task for run in runs for task in (*run.scores, *run.unscored_tasks))
    beside = {task for run in runs for task in run.outside_macro}
    return [task for task in named if task not in beside]


def build_long_table(study: Study) -> pd.DataFrame:
    """One row a question x arm x seed x task, the macro average among them; NaN where missing."""
    rows = []
    for name, question in study.questions.items():
        for label, arm in question.arms.items():
            for seed, run in sorted(arm.runs.items()):
                for endpoint in (*study.tasks, "macro"):
                    task = run.scores.get(endpoint)
                    rows.append(
                        {
                            "question": name,
                            "arm": label,
                            "seed": seed,
                            "run": run.identity,
                            "state": run.state,
                            "endpoint": endpoint,
                            "score": run.get_score(endpoint, study.tasks),
                            "n": task.n if task else None,
                            "unparsed": task.unparsed if task else None,
                            "truncated": task.truncated if task else None,
                            "empty": task.empty if task else None,
                        }
                    )
    return pd.DataFrame(rows).astype({"score": "float64"})
