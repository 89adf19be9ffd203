"""A case's steps, by the platform's own job: `train_student`, from a config to the last step.

Left out of it are what loads weights (they are drawn) and what follows the last step.
"""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from kvdistill import layout
from kvdistill.plan.graph import list_artifacts
from kvdistill.plan.matching.run_flops import count_token_flops
from kvdistill.plan.resources.run_memory import estimate_run_memory
from kvdistill.train import inputs
from kvdistill.train.build_store import build_kv_store
from kvdistill.train.run import make_sampler, train_student
from tests.bench.gpu.cases import Case
from tests.bench.gpu.drawn_weights import use_drawn_maps, use_drawn_weights
from tests.bench.gpu.workload import Size, build_split, compose_case


class LastStep(Exception):  # noqa: N818 - no error: it ends a training where the bench has enough
    """Every step that counts is taken."""


@dataclass
class StepClock:
    """Seconds and memory of the steps after the first few, told by a training's `progress`."""

    size: Size
    ends: list[float] = field(default_factory=list)
    """When each step from the last warm one on had ended."""
    peak_bytes: int = 0
    device: str = field(default_factory=lambda: "cuda" if torch.cuda.is_available() else "cpu")

    def note_step(self, step: int, _: int = 0) -> None:
        """Raises LastStep after the last step."""
        if self.size.warm <= step <= self.size.warm + self.size.steps:
            edge = step in (self.size.warm, self.size.warm + self.size.steps)
            # Only at both ends: in between the CPU may run ahead, as it does in training.
            if edge and self.device == "cuda":
                torch.cuda.synchronize()
            self.ends.append(time.perf_counter())
        if self.device == "cuda":
            self.peak_bytes = max(self.peak_bytes, torch.cuda.max_memory_allocated())
            if step == self.size.warm:
                # What loading and the first steps held is none of a step's.
                torch.cuda.reset_peak_memory_stats()
                self.peak_bytes = 0
        if step >= self.size.last_step:
            raise LastStep

    @property
    def step_s(self) -> float:
        """Seconds of a step: the mean over those that count."""
        return (self.ends[-1] - self.ends[0]) / self.size.steps


def measure_training(root: Path, size: Size, case: Case) -> dict[str, Any]:
    """Seconds, model FLOPs, memory and what the platform's own curves say of the steps."""
    config = compose_case(root, size, case.texts, case.all_overrides)
    needs = {"split": build_split(root, config)}
    # Never read: maps are drawn. The store is, where the case has one.
    needs |= {f"calibration.{name}": root for name in config["teachers"]}
    with use_drawn_weights(root), use_drawn_maps():
        stored = build_stores(root, config, needs)
        work = count_work(config, needs, size)
        folder = root / "runs" / "bench" / f"{case.part}-{time.time_ns()}"
        folder.mkdir(parents=True)
        clock = StepClock(size)
        with suppress(LastStep):
            train_student(config, needs, folder, clock.note_step)
    config["estimate"]["answer_share"] = work.answer_share
    memory = estimate_run_memory(config)
    return {
        "step_s": clock.step_s,
        "steps_s": [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)],
        **asdict(work),
        "peak_bytes": clock.peak_bytes or None,
        "plan_bytes": memory.total,
        "plan_parts": asdict(memory),
        **stored,
        **summarize_speed(read_counted_lines(folder, size)),
    }


@dataclass(frozen=True)
class Work:
    """What the counted steps read and compute, a step."""

    student_tokens: float
    """Real ones: padding is no work."""
    teacher_tokens: float
    model_flops: float
    """As the platform's MFU counts them: 6 a weight of the student, 2 a weight of its teachers."""
    answer_share: float
    """Of the tokens that a batch holds, padding too: those with logits."""


def count_work(config: dict[str, Any], needs: Mapping[str, Path], size: Size) -> Work:
    """Of the texts that the platform's sampler gives the counted steps."""
    texts, _ = inputs.read_texts(config, needs, "train_student", None)
    rows = list(make_sampler(config, texts, size.last_step))
    width = config["budget"]["batch_size"]
    rows = rows[size.warm * width : (size.warm + size.steps) * width]
    student = [texts._student[row] for row in rows]
    per_token = count_token_flops(config)
    tokens = {"student": sum(len(text.ids) for text in student)} | {
        name: sum(len(texts.get_teacher_tokens(name)[row].ids) for row in rows)
        for name in per_token.keys() - {"student"}
    }
    scored = sum(int(text.answer.sum()) for text in student)
    return Work(
        student_tokens=tokens["student"] / size.steps,
        teacher_tokens=sum(n for name, n in tokens.items() if name != "student") / size.steps,
        model_flops=sum(per_token[name] * n for name, n in tokens.items()) / size.steps,
        answer_share=scored / (len(rows) * config["budget"]["seq_len"]),
    )


def build_stores(root: Path, config: dict[str, Any], needs: dict[str, Path]) -> dict[str, Any]:
    """Fills the stores that the config reads, and puts them among the needs; what that took."""
    facts: dict[str, Any] = {}
    for role, node in list_artifacts(config):
        if node.kind != "kv":
            continue
        folder = needs[role] = root / "artifacts" / node.name
        if (marker := root / f"{node.name}.filled").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        made = build_kv_store(node.recipe, {"split": needs["split"]}, folder, lambda *_: None)
        facts |= {f"{role}_fill_s": time.perf_counter() - began, f"{role}_texts": made["texts"]}
        facts[f"{role}_bytes"] = made["stored_bytes"]
        marker.touch()
    return facts


def summarize_speed(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """What the platform measured of itself over these lines, which are of equally many steps."""
    speeds = [line["speed"] for line in lines if line.get("speed")]
    if not speeds:
        return {}
    step_s = sum(speed["step_s"] for speed in speeds)
    parts_s = {part: sum(s["seconds"][part] for s in speeds) for part in speeds[0]["seconds"]}
    means = {f"curves_{name}": speeds[-1][name] for name in ("mfu", "real_share", "tokens_per_s")}
    return {
        "rooms_share": parts_s["rooms"] / step_s,
        "parts_s": {part: seconds / len(speeds) for part, seconds in parts_s.items()},
        **means,
    }


def read_counted_lines(folder: Path, size: Size) -> list[dict[str, Any]]:
    """The training lines of the run's curves for the counted steps, as the platform wrote them."""
    lines = (folder / layout.CURVES).read_text(encoding="utf-8").splitlines()
    return [
        line
        for line in map(json.loads, lines)
        if line["split"] == "train" and size.warm < line["step"] <= size.warm + size.steps
    ]
