"""What one process of two does; started by the tests, which compare it with a single process."""

import os
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from tests.train.conftest import (
    STUDENT,
    TEACHERS,
    make_batch,
    make_calibration,
    make_logit_objective,
    make_model,
    make_request,
)
from tests.train.runs import STEPS, Rows, make_collator
from tests.train.test_step import take_row

LENGTHS = (7, 7)
SETTINGS = {"compression": "kava", "fusion": "similarity"}


@contextmanager
def join_two_ranks(rank: int, folder: Path) -> Iterator[None]:
    """One of two ranks that talk by gloo and meet in a file of `folder`."""
    from kvdistill.distributed import destroy_process_group

    torch.set_num_threads(1)
    # What a launcher would have set: accelerate and DeepSpeed read it.
    os.environ |= {
        "RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    store = distributed.FileStore(str(folder / "store"), 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    try:
        yield
    finally:
        destroy_process_group()


def build_module(
    config: dict,
    names: Sequence[str] = ("a", "b"),
    request_teacher: Callable[..., Any] = make_request,
) -> torch.nn.Module:
    """The calibrated module of a composed config; the same in every process."""
    from kvdistill.config.build import build_node
    from kvdistill.plan.teaching.signals import matches_kv
    from kvdistill.train.module import Distiller
    from kvdistill.train.objective import KVObjective, LossWeights
    from kvdistill.train.run import make_pipelines

    student = make_model(STUDENT, "qwen2", seed=9).train()
    student = build_node("adapter", config["adapter"]).wrap(student)
    if not names:
        return Distiller(student, None, {}, LossWeights.from_config(config))
    torch.manual_seed(0)
    objective = KVObjective(config) if matches_kv(config) else None
    logits, teachers = make_logit_objective(config), {}
    for name, pipeline in make_pipelines(config, objective).items():
        if objective is not None:
            stats = make_calibration(pipeline.layer_pairs, TEACHERS[name])
            objective.get_branches()[name].calibrate(stats)
        teachers[name] = build_node(
            "source", config["source"], request=request_teacher(name, pipeline)
        )
    weights = LossWeights.from_config(config)
    return Distiller(student, objective, teachers, weights, logits=logits)


def compute_loss(module: torch.nn.Module, batch: Any, tokens: int) -> torch.Tensor:
    """As the trainer weighs it: CE a token of the whole step, KV a sample."""
    ce, terms, _ = module(batch)
    return 0.5 * ce / tokens + terms.kv


def collect_gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """By name, of the student."""
    return {name: p.grad for name, p in module.student.named_parameters() if p.grad is not None}


def compute_gradients(rank: int, config: dict) -> dict[str, torch.Tensor]:
    """Those of this rank's half of a batch, once the two have reduced them."""
    module = build_module(config)
    wrapped = DistributedDataParallel(module)
    whole = make_batch(lengths=LENGTHS)
    # DDP averages over ranks, while the token count is the sum over them.
    compute_loss(wrapped, take_row(whole, rank), count_answer_tokens(whole) // 2).backward()
    return collect_gradients(module)


def count_answer_tokens(batch: Any) -> int:
    """Predicted answer tokens of a batch."""
    return int((batch.student.answer & batch.student.mask)[:, 1:].sum())


def train_division(
    config: dict,
    folder: Path,
    names: tuple[str, ...],
    num_gpus: int,
    size: int,
    accumulate: int,
    request_teacher: Callable[..., Any] = make_request,
    resume: bool | None = None,
    stop: int | None = None,
) -> dict[str, Any]:
    """A short training with the global batch so divided: what it read, wrote and became."""
    from kvdistill.data.sampler import ResumableSampler
    from kvdistill.train import checkpoint
    from kvdistill.train.curves import CurveWriter
    from kvdistill.train.trainer import DistillTrainer
    from kvdistill.train.training_arguments import make_training_arguments
    from kvdistill.train.validation import Validation

    rows_read: list[list[str]] = []
    folder.mkdir(exist_ok=True)
    trainer = DistillTrainer(
        build_module(config, names, request_teacher),
        make_training_arguments(config | make_budget(size, accumulate), STEPS, folder),
        texts=Rows(),
        sampler=ResumableSampler(64, STEPS * num_gpus * size * accumulate, config["seed"]),
        collate=note_rows(make_collator(names), rows_read),
        validation=Validation([make_collator(names)([60, 61, 62])]),
        curves=CurveWriter(folder),
        progress=lambda step, _: stop_if(step == stop),
        needs={},
        norms_every=0,
    )
    rows_read.clear()
    resume_from = checkpoint.find_newest(folder / "checkpoints", {}).folder if resume else None
    trainer.curves.load_state(resume_from)
    try:
        trainer.fit(resume_from)
    except InterruptedError:
        return {}
    steps = [
        [row for rows in rows_read[at : at + accumulate] for row in rows]
        for at in range(0, len(rows_read), accumulate)
    ]
    weights = {name: p.detach().clone() for name, p in trainer.module.named_parameters()}
    return {"steps": steps, "weights": weights, "sequences": trainer.curves.sequences}


def stop_if(now: bool) -> None:
    """Ends a training as a kill would, between two steps."""
    if now:
        raise InterruptedError


def make_budget(size: int, accumulate: int) -> dict[str, Any]:
    """The part of a config that the division is in."""
    return {"budget": {"batch_size": size, "grad_accum": accumulate}}


def note_rows(collate_rows: Callable[..., Any], rows_read: list[list[str]]) -> Callable[..., Any]:
    """The collator, which also notes the rows of every micro-batch."""

    def collate(rows: list[int]) -> Any:
        batch = collate_rows(rows)
        rows_read.append(batch.ids)
        return batch

    return collate


def train_on_two_ranks(
    rank: int, configs: dict[str, tuple[tuple[str, ...], dict]], where: Path
) -> None:
    """Trains each config on two ranks, and one of them in two lives; leaves what came of it."""
    warnings.simplefilter("default")  # DeepSpeed's own
    for label, (names, config) in configs.items():
        outcome = train_division(config, where / label, names, 2, 4, 1)
        torch.save(outcome, where / f"{label}-rank{rank}.pt")
        if "zero2" in label or "kv" in label:
            train_division(config, where / f"{label}-again", names, 2, 4, 1, stop=3)
            outcome = train_division(config, where / f"{label}-again", names, 2, 4, 1, resume=True)
            torch.save(outcome, where / f"{label}-again-rank{rank}.pt")
    if "kv_zero2" in configs:
        names, config = configs["kv_zero2"]
        message = resume_planted_checkpoint(config, where / "kv_zero2-again", names, rank)
        torch.save(message, where / f"planted-rank{rank}.pt")


def resume_planted_checkpoint(config: dict, folder: Path, names: tuple[str, ...], rank: int) -> str:
    """What resuming says of a checkpoint whose state acts when it is unpickled; seal and all."""
    from kvdistill.errors import UserError
    from kvdistill.train import checkpoint
    from tests.models.pickles import PickleBomb

    newest = checkpoint.list_checkpoints(folder / "checkpoints")[-1]
    if rank == 0:
        (state,) = newest.glob("global_step*/*_model_states.pt")
        with state.open("wb") as file:
            pickle.dump(PickleBomb(folder / "ran"), file, protocol=2)
        (newest / checkpoint.CHECKSUMS).unlink()
        checkpoint.write_checksums(newest, {})
    distributed.barrier()
    try:
        train_division(config, folder, names, 2, 4, 1, resume=True)
    except UserError as error:
        return str(error)
    return ""
