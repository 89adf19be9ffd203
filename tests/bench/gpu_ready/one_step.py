"""One step of the trainer, taken apart, on a second device that this machine does not have."""

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from torch import Tensor

from kvdistill.train.curves import CurveWriter
from kvdistill.train.module import Distiller
from kvdistill.train.nonfinite import find_cause
from kvdistill.train.target_r2 import compute_target_r2
from kvdistill.train.trainer import DistillTrainer
from kvdistill.train.training_arguments import make_training_arguments
from kvdistill.train.validation import Validation
from kvdistill.types import Batch
from tests.bench.gpu_ready.fake_device import DEVICE, FakeDevice, autocast_as_cpu
from tests.train.conftest import composed_config, make_batch, make_request
from tests.train.ranks import build_module
from tests.train.runs import Rows

CONF = Path(__file__).parents[3] / "conf"
TRAIN = {
    "lr": 0.01, "weight_decay": 0.01, "warmup_ratio": 0.0, "lr_scheduler_type": "cosine",
    "max_grad_norm": 1.0, "bf16": True, "report_to": "none", "deepspeed": None,
    "logging_steps": 1, "eval_steps": 1, "save_steps": 1,
}  # fmt: skip


@dataclass(frozen=True)
class StepCounts:
    """What a step is to a GPU, by the line that causes it."""

    mixed: dict[str, int]
    """Operations with tensors of both devices, in training, validation and what finds NaN."""
    waits: dict[str, int]
    """Times that the host waits for the device in the step."""
    copies: dict[str, int]
    """Tensors that the step copies to the device; its batch lies there already."""
    launches: int
    """Operations of the step that are no views: forward, backward and optimiser."""


def count_step(
    overrides: Sequence[str], names: Sequence[str] = ("a", "b"), lengths: tuple[int, ...] = (12, 9)
) -> StepCounts:
    """Trains two steps of tiny models, of which the second is counted; then validates."""
    is_open = GlobalHydra.instance().is_initialized()
    with nullcontext() if is_open else initialize_config_dir(str(CONF), version_base="1.3"):
        config = composed_config(*overrides, teachers=tuple(names))
    batch = make_batch(tuple(names), lengths=lengths, more=2)
    with tempfile.TemporaryDirectory() as folder, FakeDevice() as device, autocast_as_cpu():
        module = build_module(config, names, request_teacher)
        trainer = make_trainer(module, config, batch, Path(folder))
        # After the trainer is made, as a trainer does it: what was read of the model stays behind.
        module.to(DEVICE).train()
        moved = batch.to(DEVICE)
        take_step(trainer, batch, moved)
        device.forget()
        take_step(trainer, batch, moved)
        waits, copies, launches = dict(device.waits), dict(device.copies), device.launches
        measure_outside(trainer, moved)
        return StepCounts(dict(device.mixed), waits, copies, launches)


def request_teacher(name: str, pipeline: Any) -> Any:
    """What a run wants of that teacher, whose body is loaded onto the device."""
    request = make_request(name, pipeline)
    load = request.load_body
    object.__setattr__(request, "load_body", lambda: load().to(DEVICE))
    return request


def make_trainer(
    module: Distiller, config: dict[str, Any], batch: Batch, folder: Path
) -> DistillTrainer:
    """The run's own trainer, which is never let loose."""
    settings = config | {
        "train": config["train"] | TRAIN,
        "budget": {"batch_size": len(batch.ids), "grad_accum": 1},
    }
    trainer = DistillTrainer(
        module,
        make_training_arguments(settings, 4, folder),
        texts=Rows(),
        sampler=range(4),  # type: ignore[arg-type]
        collate=lambda _: batch,
        validation=Validation([batch]),
        curves=CurveWriter(folder),
        progress=lambda *_: None,
        needs={},
        norms_every=0,
    )
    trainer.current_gradient_accumulation_steps = 1
    trainer.create_optimizer()
    return trainer


def take_step(trainer: DistillTrainer, batch: Batch, moved: Batch) -> None:
    """What Trainer does between two batches: autocast is around the forward alone."""
    module, optimizer = trainer.module, trainer.optimizer
    assert optimizer is not None

    def forward(inputs: Batch) -> tuple[Tensor, Any]:
        with torch.autocast("cuda", torch.bfloat16):
            loss, terms = module(inputs)
        return loss, terms

    count = trainer._get_num_items_in_batch([{"batch": batch}], DEVICE)
    loss = trainer.compute_loss(forward, {"batch": moved}, num_items_in_batch=count)  # type: ignore[arg-type]
    loss.backward()
    trainer._clip_grad_norm(module)
    optimizer.step()
    optimizer.zero_grad()


def measure_outside(trainer: DistillTrainer, batch: Batch) -> None:
    """All that reads models between steps: validation, R^2 and the search for NaN."""
    module = trainer.module.eval()
    trainer.validation(module, DEVICE)
    if module.objective is not None:
        compute_target_r2(module, [batch])
    find_cause(module, batch)
