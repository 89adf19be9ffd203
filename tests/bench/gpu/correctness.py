"""K, V, losses and gradients on a device against float32 on the CPU, from the same weights.

Models have their true widths and few layers. Noise is the squared distance over the reference's
variance over tokens (of gradients: over their square): what a rounding adds to what is compared.
"""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kvdistill import distributed
from kvdistill.config.build import build_node
from kvdistill.plan.graph import list_artifacts
from kvdistill.train import inputs
from kvdistill.train.calibrate import build_calibration
from kvdistill.train.module import Distiller
from kvdistill.train.run import build_distiller
from kvdistill.train.step import sum_cross_entropy
from kvdistill.types import KV, Batch
from tests.bench.gpu.cases import Case
from tests.bench.gpu.drawn_weights import use_drawn_weights
from tests.bench.gpu.workload import Size, build_split, compose_case

STUDENT_LAYERS, TEACHER_LAYERS = 2, 3
VOCABULARY = 4096
"""Of teachers, whose head is never read."""
TEXTS, LENGTH = 2, 96
CALIBRATION_TEXTS = 16

Outcome = dict[str, Tensor]
"""What a step came to, by name, in float32 on the CPU."""


def measure_correctness(root: Path, size: Size, case: Case) -> dict[str, float]:
    """The noise of each quantity in float32, and in bfloat16 as it is trained."""
    config = compose_case(root, size, case.texts, case.overrides)
    config["budget"]["seq_len"] = min(LENGTH, size.seq_len)
    config["train"]["calibration_rows"] = CALIBRATION_TEXTS
    needs = {"split": build_split(root, config)}
    config["student"]["geometry"]["layers"] = STUDENT_LAYERS
    for node in config["teachers"].values():
        node["geometry"] |= {"layers": TEACHER_LAYERS, "vocab_size": VOCABULARY}
    # Otherwise the device would be compared with less than float32.
    torch.set_float32_matmul_precision("highest")
    device = distributed.get_local_device()
    with use_drawn_weights(root, on_cpu=True):
        alignment = build_node("alignment", config["alignment"])
        texts, collate = inputs.read_texts(config, needs, "train_student", alignment)
        batch = collate([texts[row] for row in range(TEXTS)])
        whole = set_precision(config, "float32", "cpu")
        needs |= calibrate(root, whole, needs)
        reference = take_step(whole, needs, batch, torch.device("cpu"), bf16=False)
        figures: dict[str, float] = {}
        for name, dtype in (("fp32", "float32"), ("bf16", "bfloat16")):
            here = set_precision(config, dtype, "auto")
            step = take_step(here, needs, batch, device, bf16=dtype == "bfloat16")
            figures |= compare_steps(step, reference, name)
    return figures


def calibrate(root: Path, config: dict[str, Any], needs: Mapping[str, Path]) -> dict[str, Path]:
    """Means and maps as the platform measures them: the biases of keys are centred away."""
    folders = {}
    for role, node in list_artifacts(config):
        if node.kind == "calibration":
            folder = folders[role] = root / "artifacts" / node.name
            folder.mkdir(parents=True, exist_ok=True)
            build_calibration(node.recipe, {"split": needs["split"]}, folder, lambda *_: None)
    return folders


def set_precision(config: Mapping[str, Any], dtype: str, device: str) -> dict[str, Any]:
    """The config with its teachers in that precision and place; the student stays in float32."""
    changed = deepcopy(dict(config))
    for node in changed["teachers"].values():
        node |= {"dtype": dtype, "placement": {"device": device, "shard": "none"}}
    changed["train"]["bf16"] = dtype == "bfloat16"
    return changed


def take_step(
    config: dict[str, Any],
    needs: Mapping[str, Path],
    batch: Batch,
    device: torch.device,
    *,
    bf16: bool,
) -> Outcome:
    """Forward and backward of one batch, as training takes them."""
    module: Distiller
    module, *_ = build_distiller(config, needs, build_node("adapter", config["adapter"]))
    module.to(device).train()
    batch, outcome = batch.to(device), {}

    def observe(layer: int, own: KV, target: KV) -> None:
        for name in ("keys", "values"):
            for who, kv in (("student", own), ("target", target)):
                rows = getattr(kv, name).transpose(1, 2)[target.mask]
                outcome[f"{who}_{name}.{layer}"] = rows.detach().float().cpu()

    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        logits, terms = module.compute_logits(batch, observe)
        ce = sum_cross_entropy(logits, batch.student) / batch.student.label_mask.sum()
        assert terms is not None
        (ce + terms.kv).backward()
    outcome |= {"ce": ce.detach().float().cpu(), "kv": terms.kv.detach().float().cpu()}
    grads = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    return outcome | {f"gradient.{n}": g.float().cpu() for n, g in grads.items()}


def compare_steps(step: Outcome, reference: Outcome, precision: str) -> dict[str, float]:
    """The worst layer's or weight's noise of each quantity; of losses the relative difference."""
    assert step.keys() == reference.keys(), step.keys() ^ reference.keys()
    worst: dict[str, float] = {}
    for name, truth in reference.items():
        kind = f"{precision}_{name.partition('.')[0]}"
        worst[kind] = max(worst.get(kind, 0.0), measure_noise(step[name], truth, name))
    return worst


def measure_noise(value: Tensor, truth: Tensor, name: str) -> float:
    """Squared distance over what varies; of a scalar the relative difference."""
    if truth.ndim == 0:
        return float((value - truth).abs() / truth.abs())
    value, truth = value.double(), truth.double()
    centred = truth if name.startswith("gradient") else truth - truth.mean(dim=0)
    return float((value - truth).square().sum() / centred.square().sum().clamp(min=1e-30))
