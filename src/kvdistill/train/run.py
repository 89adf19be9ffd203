"""One run's training: from its frozen config to a Hugging Face folder of the student alone."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.trainer_utils import get_last_checkpoint

from kvdistill import interrupt, world
from kvdistill.config.compose import Config
from kvdistill.config.schema import typed
from kvdistill.data.batch import Texts
from kvdistill.data.order import Stream
from kvdistill.errors import UserError
from kvdistill.files import write_json
from kvdistill.kv.calibration import Calibration
from kvdistill.plan.budget import global_batch, unified_steps
from kvdistill.records import SCHEMA_VERSION
from kvdistill.train import readings
from kvdistill.train.agreement import held_out
from kvdistill.train.calibrate import evenly
from kvdistill.train.curves import Curves
from kvdistill.train.module import Distiller, parameters_of
from kvdistill.train.rooms import Rooms, Weights
from kvdistill.train.trainer import DistillTrainer, arguments

VALIDATION_TEXTS = 256
"""Texts of the val part that the curves are drawn from."""


def train(
    config: Config, needs: Mapping[str, Path], folder: Path, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Trains, writes model/, curves.jsonl and routing.json; returns the run's ledger.

    Every rank of a run calls this and computes the same batches outside training, so that sharded
    teachers are asked equally often everywhere; rank 0 writes.
    """
    torch.manual_seed(config["seed"])
    budget = typed("budget", config["budget"])
    steps = unified_steps(budget)
    module, fits = distiller(config, needs)
    if config["train"]["gradient_checkpointing"]:
        module.checkpoint_activations()
    began = parameters_of(module.student)
    alignment = module.rooms.first.reader.alignment if module.rooms else None
    texts, collate = readings.texts(config, needs, "train_student", alignment)
    held, _ = readings.texts(config, needs, "val", alignment)
    rows = evenly(len(held), VALIDATION_TEXTS)
    count = -(-len(rows) // budget.batch_size)
    chunks = [rows[first::count] for first in range(count)]  # alike in size: none of one text
    curves = Curves(folder)
    validation = [collate([held[row] for row in chunk]) for chunk in chunks]
    trainer = DistillTrainer(
        module,
        arguments(config, steps, folder),
        texts,
        stream(config, texts, steps),
        collate,
        validation,
        curves,
        progress,
    )
    started = time.monotonic()
    with interrupt.deferred():
        trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    seconds = time.monotonic() - started
    if trainer.state.global_step != steps:
        raise UserError(f"trained {trainer.state.global_step} steps instead of {steps}.")
    if world.leads():
        save(module.student, config, needs, folder / "model")
    if world.leads() and trainer.routing is not None:
        routing = {"schema_version": SCHEMA_VERSION, "weights": trainer.routing.table()}
        write_json(folder / "routing.json", routing)
    read = world.total(torch.tensor([curves.sequences, curves.tokens]))
    sequences, tokens = read.tolist()
    return {
        "steps": steps,
        "sequences": sequences,
        "planned_tokens": steps * global_batch(budget) * budget.seq_len,
        "real_tokens": tokens,
        "epochs": sequences / len(texts),
        "truncated_texts": texts.truncated,
        "unanswered_texts": texts.unanswered,
        "alignment": {
            name: found.rates()
            for name, found in texts.aligned(evenly(len(texts), VALIDATION_TEXTS)).items()
        },
        "train_s": seconds,
        "parameters_before": began,
        "parameters_after": parameters_of(module.student),
        **fits,
        **({"agreement": held_out(module, validation)} if module.rooms else {}),
    }


def stream(config: Config, texts: Texts, steps: int) -> Stream:
    """The order in which a run reads: of the seed, the texts and the global batch alone.

    Texts of like length are grouped by their bytes, so alike for all arms and tokenizers.
    """
    batch = global_batch(typed("budget", config["budget"]))
    lengths = texts.lengths if config["train"]["group_by_length"] else None
    return Stream(len(texts), steps * batch, config["seed"], lengths=lengths, batch_size=batch)


def distiller(config: Config, needs: Mapping[str, Path]) -> tuple[Distiller, dict[str, Any]]:
    """The module that is trained, calibrated, and the held-out R^2 of each projection."""
    student = readings.student(config, needs)
    weights = Weights.of(config)
    if not config["teachers"]:
        return Distiller(student, None, {}, weights), {}
    rooms = Rooms(config)
    fits = {}
    for name, taught in rooms.parts().items():
        fits[name] = taught.calibrate(Calibration.load(needs[f"calibration.{name}"]))
    teachers = {
        name: readings.teacher(config, name, needs, taught.reader)
        for name, taught in rooms.parts().items()
    }
    return Distiller(student, rooms, teachers, weights), {"projection": fits}


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that the library finished writing."""
    checkpoints = folder / "checkpoints"
    found: str | None = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    return found


def save(student: PreTrainedModel, config: Config, needs: Mapping[str, Path], folder: Path) -> None:
    """The student alone, with its tokenizer."""
    student.save_pretrained(folder)
    readings.tokeniser(config["student"], "student", needs).tokenizer.save_pretrained(folder)
