"""What one process of two does with its half of a batch; started by test_devices."""

from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from tests.train.conftest import STUDENT, TEACHERS, batch, calibration, model, wanted
from tests.train.test_step import only

LENGTHS = (7, 7)
SETTINGS = {"compression": "kava", "fusion": "similarity"}


def build(config: dict) -> torch.nn.Module:
    """The calibrated module of a composed config; the same in every process."""
    from kvdistill.config.build import build as make
    from kvdistill.train.module import Distiller
    from kvdistill.train.rooms import Rooms, Weights

    rooms, sources = Rooms(config), {}
    for name, part in rooms.parts().items():
        part.calibrate(calibration(part.reader.sources, TEACHERS[name]))
        sources[name] = make("source", config["source"], wanted=wanted(name, part.reader))
    return Distiller(model(STUDENT, "qwen2", seed=9).train(), rooms, sources, Weights.of(config))


def loss(module: torch.nn.Module, read, tokens: int) -> torch.Tensor:
    """As the trainer weighs it: CE a token of the whole step, KV a sample."""
    ce, terms = module(read)
    return 0.5 * ce / tokens + terms.kv


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """By name, of the student."""
    return {name: p.grad for name, p in module.student.named_parameters() if p.grad is not None}


def work(rank: int, config: dict, folder: str) -> None:
    """Leaves the gradients of rank 0 in `folder`."""
    torch.set_num_threads(1)
    store = distributed.FileStore(str(Path(folder) / "store"), 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    try:
        module = build(config)
        wrapped = DistributedDataParallel(module)
        whole = batch(lengths=LENGTHS)
        # DDP averages over ranks, while the token count is the sum over them.
        loss(wrapped, only(whole, rank), answers(whole) // 2).backward()
        torch.save(gradients(module), Path(folder) / f"rank{rank}.pt")
    finally:
        distributed.destroy_process_group()


def answers(read) -> int:
    """Predicted answer tokens of a batch."""
    return int((read.student.answer & read.student.mask)[:, 1:].sum())
