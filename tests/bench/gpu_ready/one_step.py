"""One step of the trainer, taken apart, on a second device that this machine does not have."""

import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from torch import nn
from torch.utils.data import SequentialSampler

from kvdistill.alignment.base import Spans
from kvdistill.config.build import build_node
from kvdistill.data.collate import Collator
from kvdistill.data.packing import Packing
from kvdistill.data.text_chunks import NO_CHUNK, TextChunks, collate_chunks
from kvdistill.data.tokenise import TokenisedText
from kvdistill.geometry import Geometry
from kvdistill.kv.online import Online
from kvdistill.plan.graph import find_store_spec
from kvdistill.plan.teaching.signals import reads_answers
from kvdistill.train.build_store import StorePlan, write_index, write_missing_shards
from kvdistill.train.curves import CurveWriter
from kvdistill.train.module import Distiller
from kvdistill.train.nonfinite import find_cause
from kvdistill.train.objective import TeacherPipeline
from kvdistill.train.store_layout import CacheLayout, StoredText
from kvdistill.train.target_r2 import compute_target_r2
from kvdistill.train.trainer import DistillTrainer
from kvdistill.train.training_arguments import make_training_arguments
from kvdistill.train.validation import Validation
from kvdistill.types import Batch, Chunks, Tokens
from tests.bench.gpu_ready.fake_device import DEVICE, FakeDevice, autocast_as_cpu, run_backward
from tests.bench.gpu_ready.settings import CONF, Setting
from tests.train import conftest
from tests.train.answers.test_logit_terms import read_alike
from tests.train.ranks import build_module
from tests.train.runs import Rows

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

    @property
    def host_waits(self) -> int:
        """Of all lines together."""
        return sum(self.waits.values())


def count_step(setting: Setting, lengths: tuple[int, ...] = (12, 9)) -> StepCounts:
    """Trains two steps of tiny models, of which the second is counted; then validates."""
    names = tuple(setting.teachers)
    is_open = GlobalHydra.instance().is_initialized()
    alike = {"a": conftest.STUDENT | {"layers": 6}} if setting.as_student else {}
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(conftest.TEACHERS, alike):
        with nullcontext() if is_open else initialize_config_dir(str(CONF), version_base="1.3"):
            config = conftest.composed_config(*setting.overrides, teachers=names)
        batch, folder = make_batch(config, names, lengths=lengths, more=2), Path(name)
        if setting.packed:
            batch = Collator(0, dict.fromkeys(names, 0)).pack_batch(batch, Packing())
        stores = write_stores(config, batch, folder) if find_store_spec(config["source"]) else {}
        with FakeDevice() as device, autocast_as_cpu():
            request = partial(request_teacher, stores=stores, to_head=reads_answers(config))
            module = build_module(config, names, request)
            if module.objective is not None and module.objective.fusion.reads_tasks:
                module.objective.fusion.set_task_scores({batch.tasks[0]: [0.0] * len(names)})
            trainer = make_trainer(module, config, batch, folder)
            # After the trainer is made, as a trainer does it: what was read of the model stays
            # behind.
            module.to(DEVICE).train()
            if config["train"]["gradient_checkpointing"]:
                # Checked by PyTorch itself, a saved tensor's device would be the one it really has.
                module.student.gradient_checkpointing_enable(
                    {"use_reentrant": False, "determinism_check": "none"}
                )
            take_step(trainer, batch, batch.to(DEVICE))
            # A batch of its own: what a batch computes of itself is computed again.
            moved = batch.to(DEVICE)
            device.forget()
            take_step(trainer, batch, moved)
            waits, copies, launches = dict(device.waits), dict(device.copies), device.launches
            measure_outside(trainer, moved)
            module.close_teachers()
            return StepCounts(dict(device.mixed), waits, copies, launches)


def make_batch(config: dict[str, Any], names: tuple[str, ...], **texts: Any) -> Batch:
    """Texts as each teacher reads them, and what of them a comparison of distributions asks for."""
    if not reads_answers(config):
        return conftest.make_batch(names, **texts)  # type: ignore[no-any-return]
    if config["choices"]["logits/vocabulary"] != "chunks":
        return read_alike(names, **texts)  # type: ignore[no-any-return]
    batch = conftest.make_batch(names, **texts)
    return replace(
        batch,
        teachers={
            name: replace(each, chunks=pair_answers(batch.student, each.tokens))
            for name, each in batch.teachers.items()
        },
    )


def pair_answers(student: Tokens, teacher: Tokens) -> Chunks:
    """Chunks of one or two tokens, as many as the shorter of two answers has tokens."""
    rows = []
    for row in range(len(student.ids)):
        places = [(side.answer & side.mask)[row].nonzero().flatten() for side in (student, teacher)]
        fewest = min(len(each) for each in places)
        numbers = [np.full(side.ids.shape[1], NO_CHUNK) for side in (student, teacher)]
        for into, at in zip(numbers, places, strict=True):
            into[at.numpy()] = np.arange(len(at)) * fewest // len(at)
        rows.append(TextChunks(*numbers))
    return collate_chunks(rows, student.ids.shape[1], teacher.ids.shape[1])


def request_teacher(name: str, pipeline: Any, stores: Mapping[str, Path], *, to_head: bool) -> Any:
    """What a run wants of that teacher, whose parts are loaded onto the device."""
    request = conftest.make_request(name, pipeline, to_head)
    load, load_head = request.load_body, request.load_head
    return replace(
        request,
        load_body=lambda: load().to(DEVICE),
        load_head=load_head and (lambda: load_head().to(DEVICE)),
        store_folder=stores.get(name),
    )


def write_stores(config: dict[str, Any], batch: Batch, folder: Path) -> dict[str, Path]:
    """What each teacher makes of the batch, as a job stores it."""
    spec = build_node("source.stored", find_store_spec(config["source"]))
    stores = {}
    for name, reading in batch.teachers.items():
        geometry = Geometry.from_node(config["teachers"][name])
        pipeline = TeacherPipeline.from_config(config, geometry)
        request = conftest.make_request(name, pipeline)
        layout = CacheLayout(request, spec, geometry.kv_heads, geometry.kv_width)
        counts = request.compression.compute_budget(reading.tokens.mask).tolist()
        texts = []
        for row, (text, count) in enumerate(zip(batch.ids, counts, strict=True)):
            ids, real = reading.tokens.ids[row], reading.tokens.mask[row]
            span = Spans(*(np.zeros(int(real.sum()), dtype=np.int64) for _ in range(2)))
            answer = reading.tokens.answer[row][real].numpy()
            texts.append(
                StoredText(text, TokenisedText(ids[real].numpy(), answer, span, False), count)
            )
        stores[name] = folder / name
        stores[name].mkdir()
        plan = StorePlan(layout, [texts], {}, pad=0, in_step=False)
        teacher = Online(request)
        write_missing_shards(stores[name], plan, [0], teacher, lambda *_: None)
        write_index(stores[name], plan, teacher)
    return stores


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
        sampler=SequentialSampler(range(4)),
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


class AutocastForward(nn.Module):
    """A module as accelerate wraps it, its weights being its own."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.unregistered = (module,)

    def forward(self, inputs: Batch) -> Any:
        """In half precision."""
        with torch.autocast("cuda", torch.bfloat16):
            return self.unregistered[0](inputs)


def take_step(trainer: DistillTrainer, batch: Batch, moved: Batch) -> None:
    """What Trainer does between two batches: autocast is around the forward alone."""
    module, optimizer = trainer.module, trainer.optimizer
    assert optimizer is not None
    # As the loader does it while the batch is on the CPU still.
    module.prefetch_teachers(batch)

    count = trainer._get_num_items_in_batch([{"batch": batch}], DEVICE)
    forward = AutocastForward(module)
    loss = trainer.compute_loss(forward, {"batch": moved}, num_items_in_batch=count)
    run_backward(loss)
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
