"""How far a step whose texts share rows is from the same step with a row a text: rounding alone."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kvdistill.data.collate import Collator
from kvdistill.data.packing import Packing
from kvdistill.train.module import Distiller
from kvdistill.types import Batch
from tests.bench.gpu_ready.live_bytes import build_distiller, compose_case
from tests.bench.gpu_ready.part import Part
from tests.train.conftest import make_batch

LENGTHS = (23, 9, 17, 5, 31, 12, 8, 14)
CASES: Mapping[str, tuple[str, ...]] = {
    "sft": ("arm=sft",),
    "one_teacher": ("arm=single_teacher",),
    "one_teacher_r_kv": ("arm=single_teacher", "compression=r_kv"),
    "two_teachers_learnable": ("arm=multi_teacher", "fusion=learnable", "compression=full"),
    "two_teachers_sync": ("arm=multi_teacher", "alignment=sync", "compression=keep_last"),
}
QUICK = ("sft", "two_teachers_learnable")
LAYERS_DIVISOR, THIN, VOCABULARY = 7, 64, 512
"""A few layers, KV heads and their widths as they are, everything else thin."""
BOUND = 1e-4
"""On |difference| / |value| in float32: some hundred roundings."""


def measure(quick: bool) -> dict[str, float]:
    """Of every case the loss and all gradients, packed against not, as a share of their size."""
    figures: dict[str, float] = {}
    for name in QUICK if quick else CASES:
        module, batch = build_case(CASES[name])
        packed = Collator(0, dict.fromkeys(batch.teachers, 0)).pack_batch(batch, Packing())
        apart, together = measure_step(module, batch), measure_step(module, packed)
        for part, value in apart.items():
            difference = (together[part] - value).norm() / value.norm()
            figures[f"packing_{part}_{name}"] = float(difference)
        rows = packed.student.computed_ids
        figures[f"packing_rows_{name}"] = float(len(rows))
    return figures


def build_case(overrides: tuple[str, ...]) -> tuple[Distiller, Batch]:
    """A module of the paper's config, all of it in float32, and texts of unlike lengths."""
    torch.manual_seed(0)
    config: dict[str, Any] = compose_case(overrides)
    for node in (config["student"], *config["teachers"].values()):
        geometry = node["geometry"]
        geometry |= {
            "hidden_size": THIN, "intermediate_size": 2 * THIN, "vocab_size": VOCABULARY,
            "heads": geometry["kv_heads"], "layers": geometry["layers"] // LAYERS_DIVISOR,
        }  # fmt: skip
        node["placement"] = {"shard": "none"}
    module, bodies = build_distiller(config)
    for body in bodies:
        body.float()
    return module, make_batch(tuple(config["teachers"]), lengths=LENGTHS)


def measure_step(module: Distiller, batch: Batch) -> dict[str, Tensor]:
    """The loss of a step, and all gradients end to end."""
    module.zero_grad()
    loss, terms, _ = module(batch)
    if terms is not None:
        loss = loss + terms.kv + terms.penalty
    loss.backward()
    gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    return {"loss": loss.detach(), "gradient": torch.cat(gradients)}


PART = Part(
    measure=measure,
    at_most={f"packing_{part}_{name}": BOUND for part in ("loss", "gradient") for name in CASES}
    | {f"packing_rows_{name}": float(len(LENGTHS) - 1) for name in CASES},
)
