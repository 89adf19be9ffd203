"""Trains one run: from its frozen config to a Hugging Face folder of the student alone."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from kvdistill import distributed, layout, preemption
from kvdistill.config.build import build_node
from kvdistill.config.compose import Config
from kvdistill.config.schema import Budget, OnPolicy, read_group
from kvdistill.data.collate import Collator, TextDataset
from kvdistill.data.prompt_style import Style
from kvdistill.data.sampler import ResumableSampler
from kvdistill.errors import UserError
from kvdistill.files import write_json
from kvdistill.kv.calibration import Calibration
from kvdistill.models.adapter import Adapter
from kvdistill.models.attention.check_packing import check_packed_forward
from kvdistill.models.attention.implementation import set_attention
from kvdistill.models.compile_layers import compile_layers
from kvdistill.models.model_folder import write_model_folder
from kvdistill.plan.budget import global_batch, unified_steps
from kvdistill.plan.matching.run_flops import count_token_flops
from kvdistill.plan.resources.device_peaks import find_peak_tflops
from kvdistill.plan.teaching.on_policy import get_period
from kvdistill.plan.teaching.signals import matches_kv
from kvdistill.plan.teaching.unread import drop_unread_teachers
from kvdistill.records import MANY_EPOCHS, SCHEMA_VERSION
from kvdistill.train import checkpoint, inputs, run_ledger
from kvdistill.train.answers.task_scores import check_tasks
from kvdistill.train.curves import CurveWriter
from kvdistill.train.kernels.determinism import use_kernel_settings
from kvdistill.train.kernels.linear_ce import get_linear_ce
from kvdistill.train.module import Distiller, count_parameters, count_trained_parameters
from kvdistill.train.objective import KVObjective, LossWeights, TeacherPipeline
from kvdistill.train.on_policy.own_texts import OwnTexts
from kvdistill.train.speed.speed_meter import SpeedMeter
from kvdistill.train.speed.step_clock import StepClock
from kvdistill.train.target_r2 import compute_target_r2
from kvdistill.train.tracking.facts_callback import FactsCallback
from kvdistill.train.tracking.run_facts import collect_run_facts
from kvdistill.train.trainer import DistillTrainer
from kvdistill.train.training_arguments import make_autocast, make_training_arguments
from kvdistill.train.validation import ScoreTasks, TextLosses, Validation

log = logging.getLogger(__name__)


def train_student(
    config: Config,
    needs: Mapping[str, Path],
    folder: Path,
    progress: Callable[[int, int], None],
    score: ScoreTasks | None = None,
) -> dict[str, Any]:
    """Trains, writes model/, curves.jsonl and its parts by text and by task; returns the ledger.

    Every rank calls this and reads equally many batches outside training, since a sharded teacher
    needs all ranks in each forward pass; rank 0 writes. `score` gives task metrics during training.
    """
    with use_kernel_settings(config["train"]):
        return _train_student(config, needs, folder, progress, score)


def _train_student(
    config: Config,
    needs: Mapping[str, Path],
    folder: Path,
    progress: Callable[[int, int], None],
    score: ScoreTasks | None,
) -> dict[str, Any]:
    # Teachers that only wrote answers have done their part.
    config = drop_unread_teachers(config)
    # Before anything is built: routers and adapters draw their first weights.
    torch.manual_seed(config["seed"])
    budget: Budget = read_group("budget", config["budget"])
    adapter: Adapter = build_node("adapter", config["adapter"])
    module, calibration_facts, parameters_before = build_distiller(config, needs, adapter)
    trained_parameters = count_trained_parameters(module)
    if config["train"]["gradient_checkpointing"]:
        module.enable_gradient_checkpointing()
    trainer, texts, val_texts = build_trainer(module, config, needs, folder, progress, score)
    if config["train"].get("torch_compile", False):
        compile_layers(module.student)
    resume_point = checkpoint.find_newest(folder / layout.CHECKPOINTS, needs)
    for fault in resume_point.faults:
        log.warning(fault)
    trainer.curves.load_state(resume_point.folder)
    # A signal is answered between steps, by PreemptionCallback, so that all ranks save together.
    with preemption.defer():
        trainer.fit(resume_point.folder)
    counts = trainer.curves.sum_over_ranks()
    check_counts(trainer.state.global_step, counts.sequences, budget)
    # Before adapters are merged, which uses the module's student up.
    target_r2 = compute_target_r2(module, trainer.validation.batches) if module.objective else None
    module.close_teachers()
    student = adapter.merge(module.student)
    if distributed.is_rank_zero():
        export_student(student, config, needs, folder / layout.MODEL)
    if distributed.is_rank_zero() and trainer.routing is not None:
        routing = {"schema_version": SCHEMA_VERSION, "weights": trainer.routing.to_table()}
        write_json(folder / layout.ROUTING, routing)
    if distributed.is_rank_zero() and trainer.text_losses is not None:
        write_text_losses(trainer.text_losses, val_texts.digest, folder)
    return {
        **run_ledger.compute_run_ledger(trainer, counts, config, needs, texts, adapter),
        "parameters_before": parameters_before,
        "parameters_after": count_parameters(student),
        "trained_parameters": trained_parameters,
        "resumed_from": checkpoint.parse_step(resume_point.folder) if resume_point.folder else 0,
        **calibration_facts,
        **({"agreement": target_r2} if target_r2 is not None else {}),
    }


def build_trainer(
    module: Distiller,
    config: Config,
    needs: Mapping[str, Path],
    folder: Path,
    progress: Callable[[int, int], None],
    score: ScoreTasks | None,
) -> tuple[DistillTrainer, TextDataset, TextDataset]:
    """The trainer of a run before its first step, the texts it trains on, those it validates on."""
    budget: Budget = read_group("budget", config["budget"])
    steps = unified_steps(budget)
    # Links alone: where no K and V are matched nothing reads them.
    alignment = build_node("alignment", config["alignment"]) if config["teachers"] else None
    texts, collate = inputs.read_texts(config, needs, "train_student", alignment)
    warn_of_epochs(steps * global_batch(budget) / len(texts))
    packing = inputs.make_packing(config)
    collate = replace(collate, packing=packing)
    val_texts, _ = inputs.read_texts(config, needs, "val", alignment, config["train"]["eval_texts"])
    count = -(-len(val_texts) // budget.batch_size)
    if module.objective is not None:
        tasks = [[text.task for text in each.texts] for each in (texts, val_texts)]
        check_tasks(module.objective.fusion, *tasks)
    # Strided, so that batches differ by one text at most: shuffled sources need two in each.
    chunks = [range(len(val_texts))[first::count] for first in range(count)]
    batches = [collate([val_texts[row] for row in chunk]) for chunk in chunks]
    trainer = DistillTrainer(
        module,
        make_training_arguments(config, steps, folder),
        texts=texts,
        sampler=make_sampler(config, texts, steps),
        collate=collate,
        validation=Validation(batches, score, config["train"]["eval_tasks"]),
        curves=CurveWriter(folder, make_speed_meter(config, module.clock)),
        progress=progress,
        needs=needs,
        norms_every=config["train"]["norm_steps"],
        own_texts=make_own_texts(config, texts, collate),
    )
    if (tracker := config["train"]["report_to"]) != "none":
        facts, others = collect_run_facts(config, folder), trainer.callback_handler.callbacks
        trainer.add_callback(FactsCallback(tracker, facts, folder, others))
    if packing is not None:
        # Only now does the student lie where it will train, as attention kernels need it to.
        with make_autocast(trainer.args):
            check_packed_forward(module.student, "student", packing)
    return trainer, texts, val_texts


def make_own_texts(config: Config, texts: TextDataset, collate: Collator) -> OwnTexts | None:
    """What writes the student's own texts, as `on_policy` asks for them; None where it does not."""
    if not get_period(config):
        return None
    settings: OnPolicy = read_group("on_policy", config["on_policy"])
    style: Style = build_node("style", config["style"])
    return OwnTexts(settings, texts, collate, config["seed"], style.list_stops())


def make_speed_meter(config: Config, clock: StepClock) -> SpeedMeter:
    """What measures how fast a run trains, by the peak of this rank's device.

    The peak is `train.peak_tflops`, else the published one of its name; a CPU has none of its own.
    """
    # A plan that was frozen before there was such a setting has none.
    tflops = config["train"].get("peak_tflops") or find_peak_tflops(distributed.describe_device())
    peak = None if tflops is None else tflops * 1e12
    return SpeedMeter(clock, count_token_flops(config), peak)


def write_text_losses(losses: TextLosses, digest: str, folder: Path) -> None:
    """validation_texts.json: the last validation by text; `digest` is of the texts read."""
    write_json(
        folder / layout.VALIDATION_TEXTS,
        {"schema_version": SCHEMA_VERSION, "digest": digest, **losses.to_json()},
    )


def make_sampler(config: Config, texts: TextDataset, steps: int) -> ResumableSampler:
    """The order in which a run reads: a function of seed, texts and global batch alone.

    Lengths, where texts are grouped by them, are in bytes: the same for all arms and tokenizers.
    """
    batch = global_batch(read_group("budget", config["budget"]))
    lengths = texts.byte_lengths if config["train"]["group_by_length"] else None
    return ResumableSampler(
        len(texts), steps * batch, config["seed"], lengths=lengths, batch_size=batch
    )


def warn_of_epochs(epochs: float) -> None:
    """Logs how often each text is read, and warns where that is too often."""
    log.info("each text is read %.1f times", epochs)
    if epochs > MANY_EPOCHS:
        log.warning(
            "each text is read %.1f times, more than %d: lower budget.total_tokens or give it more "
            "data",
            epochs,
            MANY_EPOCHS,
        )


def build_distiller(
    config: Config, needs: Mapping[str, Path], adapter: Adapter
) -> tuple[Distiller, dict[str, Any], int]:
    """(the calibrated module, facts of its calibration for the ledger, the raw student's size)."""
    raw = inputs.load_student(config, needs)
    # A plan that was frozen before there were such settings has none.
    set_attention(raw, config["train"].get("attn_implementation"), "student")
    linear_ce = get_linear_ce(config["train"].get("linear_ce", "none"))
    # Counted before the adapter adds its own.
    parameters_before, student = count_parameters(raw), adapter.wrap(raw)
    weights = LossWeights.from_config(config)
    if not config["teachers"]:
        module = Distiller(student, None, {}, weights, linear_ce=linear_ce)
        return module, {}, parameters_before
    objective = KVObjective(config) if matches_kv(config) else None
    facts: dict[str, Any] = {}
    if objective is not None:
        facts["projection"] = {
            name: branch.calibrate(Calibration.load(needs[f"calibration.{name}"]))
            for name, branch in objective.get_branches().items()
        }
    logits = inputs.make_logit_objective(config, needs)
    clock = StepClock()
    teachers = {
        name: inputs.build_teacher_kv(config, name, needs, pipeline, clock)
        for name, pipeline in make_pipelines(config, objective).items()
    }
    module = Distiller(student, objective, teachers, weights, clock, linear_ce, logits)
    return module, facts, parameters_before


def make_pipelines(config: Config, objective: KVObjective | None) -> dict[str, TeacherPipeline]:
    """How each teacher's tokens are read; without layers where no K and V are matched."""
    if objective is not None:
        return {name: branch.pipeline for name, branch in objective.get_branches().items()}
    return {name: TeacherPipeline.without_layers(config) for name in config["teachers"]}


def check_counts(steps: int, sequences: int, budget: Budget) -> None:
    """Raises UserError where other steps or texts were trained than the budget plans."""
    planned = unified_steps(budget)
    if steps != planned:
        raise UserError(f"trained {steps} steps instead of the planned {planned}.")
    if sequences != planned * global_batch(budget):
        raise UserError(
            f"trained {sequences} texts instead of the planned {planned * global_batch(budget)}."
        )


def export_student(
    student: PreTrainedModel, config: Config, needs: Mapping[str, Path], folder: Path
) -> None:
    """Writes the student alone, with its tokenizer."""
    tokenizer = inputs.load_tokeniser(config["student"], "student", needs).tokenizer
    write_model_folder(student, tokenizer, folder)
