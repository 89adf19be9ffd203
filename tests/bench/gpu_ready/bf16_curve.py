"""How far training under bfloat16 autocast is from training in float32, step by step.

The same small student, texts and teachers in bfloat16's and float32's precision, trained with
cross-entropy and the KV loss. Learning itself is the scale: a distance is a share of how much the
float32 run's loss falls from its first step to its last.
"""

from contextlib import nullcontext
from itertools import cycle, islice
from pathlib import Path

import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from kvdistill.types import Batch
from tests.bench.gpu_ready.part import Part
from tests.train.conftest import composed_config, make_batch
from tests.train.ranks import build_module

CONF = Path(__file__).parents[3] / "conf"
CASES = {"sft": (), "kv": ("a", "b")}
STEPS = 30
LR = 3e-3


def measure(_: bool) -> dict[str, float]:
    """The largest distance over all steps, and that of the last quarter's mean, in percent."""
    figures: dict[str, float] = {}
    for name, teachers in CASES.items():
        exact, half = (
            torch.tensor(train(teachers, STEPS, autocast=autocast)) for autocast in (False, True)
        )
        scale = 100 / float(exact[0] - exact[-1])
        last = STEPS // 4
        figures[f"bf16_curve_percent_{name}"] = scale * float((half - exact).abs().max())
        figures[f"bf16_curve_end_percent_{name}"] = scale * abs(
            float(half[-last:].mean() - exact[-last:].mean())
        )
        figures[f"bf16_curve_fall_{name}"] = float(exact[0] - exact[-1])
    return figures


def train(teachers: tuple[str, ...], steps: int, *, autocast: bool) -> list[float]:
    """The loss of each step, as the trainer weighs its terms."""
    is_open = GlobalHydra.instance().is_initialized()
    with nullcontext() if is_open else initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = () if teachers else ("arm=sft",)
        config = composed_config(*overrides, teachers=teachers)
    torch.manual_seed(0)
    module = build_module(config, teachers).train()
    optimizer = torch.optim.AdamW(module.make_param_groups(LR, 0.01), lr=LR)
    batches = [make_batch(teachers, lengths=(16, 13), seed=seed) for seed in range(4)]
    losses = []
    for batch in islice(cycle(batches), steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = compute_loss(module, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def compute_loss(module: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy of the answers, and the KV loss."""
    ce, terms, _ = module(batch)
    loss: torch.Tensor = ce / batch.student.label_mask.sum()
    return loss if terms is None else loss + terms.kv


PART = Part(
    measure=measure,
    # The worst single step: 5.5 (sft) and 1.6 (kv) when the bound was set.
    at_most={f"bf16_curve_percent_{name}": 10.0 for name in CASES}
    | {f"bf16_curve_end_percent_{name}": 1.0 for name in CASES},
    # A run that learns nothing would be as near as any.
    at_least={f"bf16_curve_fall_{name}": 0.5 for name in CASES},
)
