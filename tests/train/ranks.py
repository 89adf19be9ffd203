"""What one process of two does; started by the tests, which compare it with a single process."""

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from tests.train.conftest import STUDENT, TEACHERS, batch, calibration, model, wanted
from tests.train.runs import STEPS, Rows, collate
from tests.train.test_step import only

LENGTHS = (7, 7)
SETTINGS = {"compression": "kava", "fusion": "similarity"}


@contextmanager
def two(rank: int, folder: Path) -> Iterator[None]:
    """One of two ranks that talk by gloo and meet in a file of `folder`."""
    from kvdistill.jobs.rendezvous import wait_for_collective_threads

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
        distributed.destroy_process_group()
        wait_for_collective_threads()


def build(
    config: dict, names: Sequence[str] = ("a", "b"), wanting: Callable[..., Any] = wanted
) -> torch.nn.Module:
    """The calibrated module of a composed config; the same in every process."""
    from kvdistill.config.build import build_node as make
    from kvdistill.train.module import Distiller
    from kvdistill.train.objective import Rooms, Weights

    student = model(STUDENT, "qwen2", seed=9).train()
    if not names:
        return Distiller(student, None, {}, Weights.of(config))
    torch.manual_seed(0)
    rooms, sources = Rooms(config), {}
    for name, part in rooms.parts().items():
        part.calibrate(calibration(part.reader.sources, TEACHERS[name]))
        sources[name] = make("source", config["source"], wanted=wanting(name, part.reader))
    return Distiller(student, rooms, sources, Weights.of(config))


def loss(module: torch.nn.Module, read: Any, tokens: int) -> torch.Tensor:
    """As the trainer weighs it: CE a token of the whole step, KV a sample."""
    ce, terms = module(read)
    return 0.5 * ce / tokens + terms.kv


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """By name, of the student."""
    return {name: p.grad for name, p in module.student.named_parameters() if p.grad is not None}


def work(rank: int, config: dict, folder: str) -> None:
    """Leaves the gradients of rank 0 in `folder`."""
    with two(rank, Path(folder)):
        module = build(config)
        wrapped = DistributedDataParallel(module)
        whole = batch(lengths=LENGTHS)
        # DDP averages over ranks, while the token count is the sum over them.
        loss(wrapped, only(whole, rank), answers(whole) // 2).backward()
        torch.save(gradients(module), Path(folder) / f"rank{rank}.pt")


def answers(read: Any) -> int:
    """Predicted answer tokens of a batch."""
    return int((read.student.answer & read.student.mask)[:, 1:].sum())


def division(
    config: dict,
    folder: Path,
    names: tuple[str, ...],
    num_gpus: int,
    size: int,
    accumulate: int,
    wanting: Callable[..., Any] = wanted,
    resume: bool | None = None,
    stop: int | None = None,
) -> dict[str, Any]:
    """A short training with the global batch so divided: what it read, wrote and became."""
    from kvdistill.data.sampler import Stream
    from kvdistill.train import checkpoint
    from kvdistill.train.curves import Curves
    from kvdistill.train.trainer import DistillTrainer
    from kvdistill.train.training_arguments import arguments
    from kvdistill.train.validation import Validation

    read: list[list[str]] = []
    folder.mkdir(exist_ok=True)
    trainer = DistillTrainer(
        build(config, names, wanting),
        arguments(config | budget(size, accumulate), STEPS, folder),
        Rows(),
        Stream(64, STEPS * num_gpus * size * accumulate, config["seed"]),
        noting(collate(names), read),
        Validation([collate(names)([60, 61, 62])]),
        Curves(folder),
        lambda step, _: stopped(step == stop),
        needs={},
        norms_every=0,
    )
    read.clear()
    found = checkpoint.newest(folder / "checkpoints", {}).folder if resume else None
    trainer.curves.load(found)
    try:
        trainer.fit(found)
    except InterruptedError:
        return {}
    steps = [
        [row for rows in read[at : at + accumulate] for row in rows]
        for at in range(0, len(read), accumulate)
    ]
    weights = {name: p.detach().clone() for name, p in trainer.module.named_parameters()}
    return {"steps": steps, "weights": weights, "sequences": trainer.curves.sequences}


def stopped(now: bool) -> None:
    """Ends a training as a kill would, between two steps."""
    if now:
        raise InterruptedError


def budget(size: int, accumulate: int) -> dict[str, Any]:
    """The part of a config that the division is in."""
    return {"budget": {"batch_size": size, "grad_accum": accumulate}}


def noting(make: Callable[..., Any], read: list[list[str]]) -> Callable[..., Any]:
    """The collator, which also notes the rows of every micro-batch."""

    def noted(rows: list[int]) -> Any:
        found = make(rows)
        read.append(found.ids)
        return found

    return noted


def divided(rank: int, configs: dict[str, tuple[tuple[str, ...], dict]], folder: str) -> None:
    """Trains each config on two ranks, and one of them in two lives; leaves what came of it."""
    where = Path(folder)
    with two(rank, where):
        for label, (names, config) in configs.items():
            found = division(config, where / label, names, 2, 4, 1)
            torch.save(found, where / f"{label}-rank{rank}.pt")
            if "zero2" in label or "kv" in label:
                division(config, where / f"{label}-again", names, 2, 4, 1, stop=3)
                found = division(config, where / f"{label}-again", names, 2, 4, 1, resume=True)
                torch.save(found, where / f"{label}-again-rank{rank}.pt")
        if "kv_zero2" in configs:
            names, config = configs["kv_zero2"]
            said = planted(config, where / "kv_zero2-again", names, rank)
            torch.save(said, where / f"planted-rank{rank}.pt")


def planted(config: dict, folder: Path, names: tuple[str, ...], rank: int) -> str:
    """What resuming says of a checkpoint whose state acts when it is unpickled; seal and all."""
    from kvdistill.errors import UserError
    from kvdistill.train import checkpoint
    from tests.models.pickles import PickleBomb

    newest = checkpoint.numbered(folder / "checkpoints")[-1]
    if rank == 0:
        (state,) = newest.glob("global_step*/*_model_states.pt")
        with state.open("wb") as file:
            pickle.dump(PickleBomb(folder / "ran"), file, protocol=2)
        (newest / checkpoint.CHECKSUMS).unlink()
        checkpoint.seal(newest, {})
    distributed.barrier()
    try:
        division(config, folder, names, 2, 4, 1, resume=True)
    except UserError as error:
        return str(error)
    return ""
