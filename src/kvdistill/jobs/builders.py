"""What each kind of job does: from frozen recipe and needed artefacts to files in its folder.

Each returns facts for the manifest, which the job writes last.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kvdistill import distributed, layout
from kvdistill.config.build import build_node
from kvdistill.config.compose import Config
from kvdistill.data.build import DataSettings, LeakError, build_data
from kvdistill.errors import DivergedError
from kvdistill.files import read_json, write_json
from kvdistill.garbage import give_back_memory
from kvdistill.geometry import Geometry
from kvdistill.jobs.measure_trial import VALIDATION_ROWS, read_last_validation
from kvdistill.jobs.trained import TrainedRun, read_trained, write_trained
from kvdistill.models import load
from kvdistill.models.attention.implementation import set_reading_attention
from kvdistill.models.gguf.convert import convert_gguf
from kvdistill.plan.run_jobs import is_trained
from kvdistill.train import build_store, calibrate, inputs
from kvdistill.train.run import train_student

Recipe = Mapping[str, Any]
Needs = Mapping[str, Path]
Progress = Callable[[int, int], None]


def build_split(recipe: Recipe, _: Needs, folder: Path, __: Progress) -> dict[str, Any]:
    """Train halves, val and test, with their validation report."""
    data = recipe["data"]
    source = build_node("data.source", data["source"])
    rooms = {name: build_node(f"data.{name}", data[name]) for name in ("split", "leakage")}
    with keep_leak_report(folder):
        report = build_data(source, DataSettings(**rooms), folder)
    return {"files_sha256": report["files"], "read": report["read"], "dropped": report["dropped"]}


def build_validation(recipe: Recipe, needs: Needs, folder: Path, _: Progress) -> dict[str, Any]:
    """The split checked against all that runs are scored on; what it left out is said again."""
    from kvdistill.evaluate.leak_check import validate_split  # lm-eval is slow to import

    with keep_leak_report(folder):
        report = validate_split(recipe, needs["split"], inputs.select_answers(needs))
    built = read_json(needs["split"] / layout.VALIDATION_REPORT)
    report |= {key: built[key] for key in ("read", "dropped") if key in built}
    write_json(folder / layout.VALIDATION_REPORT, report)
    return {"unchecked": report["missing"]}


@contextmanager
def keep_leak_report(folder: Path) -> Iterator[None]:
    """Leaves the report of a leak in the folder, which gets no manifest and so is no artefact."""
    try:
        yield
    except LeakError as error:
        write_json(folder / layout.VALIDATION_REPORT, error.report)
        raise


def build_model(recipe: Recipe, needs: Needs, folder: Path, progress: Progress) -> dict[str, Any]:
    """A student or teacher that the project makes itself."""
    node = recipe["model"]
    out = folder / layout.MODEL
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    maker = build_node("build", node["build"])
    maker.build(Geometry.from_node(node), needs.get("split"), out, progress)
    return {}


def build_conversion(recipe: Recipe, _: Needs, folder: Path, progress: Progress) -> dict[str, Any]:
    """The weights of a GGUF file in a model's dtype, and its tokenizer, as a folder."""
    out = folder / layout.MODEL
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    source = load.resolve_weights(recipe["model"], "model", None)
    return convert_gguf(source, load.read_dtype(recipe["model"], "model"), out, progress)


def build_teacher_answers(
    recipe: Recipe, needs: Needs, folder: Path, progress: Progress
) -> dict[str, Any]:
    """A teacher's answers to the student half's questions, each judged."""
    from kvdistill.evaluate.teacher_answers import build_answers  # lm-eval is slow to import

    return build_answers(recipe, needs, folder, progress)


def build_run(recipe: Recipe, needs: Needs, folder: Path, progress: Progress) -> dict[str, Any]:
    """Trains, if the arm trains and no job has done so, on every rank; then all ranks evaluate."""
    # Of what rank 0 sees: on a network's disk another node may see a file later.
    if recipe["trained"] and not distributed.broadcast_from_zero(is_trained(folder)):
        build_training(recipe, needs, folder, progress)
    return evaluate_run(dict(recipe), needs, folder, progress)


def build_training(
    recipe: Recipe, needs: Needs, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Trains on every rank and seals what is left of it; the scores are another job's."""
    began = time.monotonic()
    facts = train_run(dict(recipe), needs, folder, progress)
    if distributed.is_rank_zero():
        ranks, seconds = distributed.count_ranks(), time.monotonic() - began
        write_trained(folder, needs, TrainedRun(facts, ranks, seconds))
        shutil.rmtree(folder / layout.CHECKPOINTS, ignore_errors=True)
    return {}


def evaluate_run(config: Config, needs: Needs, folder: Path, progress: Progress) -> dict[str, Any]:
    """Scores the trained student, or the model as it is, on all ranks; rank 0 writes the records.

    Of several ranks each has the model, and answers its share of the items.
    """
    from kvdistill.evaluate import write_records  # lm-eval is slow to import
    from kvdistill.report.model_card import write_model_card
    from kvdistill.report.run_figures import write_run_figures

    began = time.monotonic()
    is_writer = distributed.is_rank_zero()
    trained = read_trained(folder, needs) if config["trained"] and is_writer else None
    place = folder if config["trained"] else needs.get("student")
    give_back_memory()  # a training's
    model = load.load_model(config["student"], "student", place)
    model = load.place_for_scoring(model, config["student"], "student")
    set_reading_attention(model, config.get("train", {}), "student")
    tokenizer = load.load_tokenizer(config["student"], "student", place)
    scored = write_records.score_model(model, tokenizer, config, needs, progress)
    if not is_writer:
        return {}
    raw = model
    give_back_memory()  # logits
    if config["trained"]:
        raw = load.load_model(config["student"], "student", needs.get("student"))
    ledger = trained.ledger if trained is not None else {}
    write_records.write_run_records(model, raw, tokenizer, scored, config, needs, folder, ledger)
    write_model_card(folder)
    write_run_figures(folder)
    facts = {"arm": config["arm"], "seed": config["seed"], "ledger": ledger}
    if trained is None:
        return facts
    # Speed and cost are told for the processes that trained.
    wall_s = trained.wall_s + time.monotonic() - began
    return facts | {"ranks": trained.ranks, "wall_s": wall_s}


def train_run(config: Config, needs: Needs, folder: Path, progress: Progress) -> dict[str, Any]:
    """Trains, with task metrics on the way where they are asked for; returns the ledger."""
    from kvdistill.evaluate.in_training import make_task_scorer  # lm-eval is slow to import

    score = make_task_scorer(config, needs) if config["train"]["eval_tasks"] else None
    return train_student(config, needs, folder, progress, score)


def build_trial(recipe: Recipe, needs: Needs, folder: Path, progress: Progress) -> dict[str, Any]:
    """Trains, and keeps the last validation alone: no model is left, and no test row is read.

    A training that diverged has measured nothing, which is a result too.
    """
    config = dict(recipe)
    facts: dict[str, Any] = {"arm": config["arm"], "seed": config["seed"]}
    try:
        facts |= {"ledger": train_student(config, needs, folder, progress), "diverged": None}
    except DivergedError as error:
        # Of several processes the others may be waiting for this one: no result that all know of.
        if distributed.count_ranks() > 1:
            raise
        facts |= {"ledger": {}, "diverged": str(error)}
    if distributed.is_rank_zero():
        for name in (layout.MODEL, layout.CHECKPOINTS):
            shutil.rmtree(folder / name, ignore_errors=True)
        measured = None if facts["diverged"] else read_last_validation(folder / layout.CURVES)
        facts |= {"measured": measured, "measured_on": VALIDATION_ROWS}
    return facts


BUILDERS: dict[str, Callable[[Recipe, Needs, Path, Progress], dict[str, Any]]] = {
    "split": build_split,
    "validation": build_validation,
    "model": build_model,
    "conversion": build_conversion,
    "answers": build_teacher_answers,
    "calibration": calibrate.build_calibration,
    "kv": build_store.build_kv_store,
    "run": build_run,
    "trial": build_trial,
    "training": build_training,
}
