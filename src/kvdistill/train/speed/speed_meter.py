"""How fast a run trains: tokens a second, MFU, and the seconds of each part of a step.

MFU is model FLOPs utilisation (Chowdhery et al. 2022, PaLM, arXiv 2204.02311, appendix B): the
operations that the tokens ask for, 6 a weight of the student and 2 a weight of each teacher that
reads (plan/matching/run_flops.py), over the peak of the device. Attention's own products and what
checkpointing computes again are left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from kvdistill.plan.flops import TokenLoad
from kvdistill.train.speed.step_clock import PARTS, StepClock
from kvdistill.types import Batch

AMOUNTS = (*PARTS, "steps", "tokens", "computed_tokens", "flops", "computed_flops")
"""What is counted of a process: seconds by part, then steps, the student's tokens and operations,
each of the last two once without padding and once with it."""


class SpeedMeter:
    """Counts what one process trains; amounts since the last line and since the beginning."""

    def __init__(
        self,
        clock: StepClock | None = None,
        flops_per_token: Mapping[str, int] | None = None,
        peak_flops: float | None = None,
    ) -> None:
        """Counts from 0.

        `flops_per_token`: of `student` and each teacher that reads. `peak_flops`: a second, of one
        device; None where it is not known, and then there is no MFU.
        """
        self.clock = clock or StepClock()
        self.flops_per_token = dict(flops_per_token or {})
        self.peak_flops = peak_flops
        self.steps = 0.0
        self.computed_tokens = self.computed_flops = 0
        self.at_line = [0.0] * len(AMOUNTS)

    def count_batch(self, batch: Batch, micro_batches: int) -> None:
        """Counts what the models compute of a micro-batch, padding included."""
        computed = {"student": batch.student.computed_ids.numel()} | {
            name: reading.tokens.computed_ids.numel() for name, reading in batch.teachers.items()
        }
        self.steps += 1 / micro_batches
        self.computed_tokens += computed["student"]
        self.computed_flops += self._count_flops(computed)

    def list_amounts(self, loads: Mapping[str, TokenLoad]) -> list[float]:
        """AMOUNTS of this process since its beginning; `loads` are the tokens without padding."""
        tokens = {name: load.tokens for name, load in loads.items()}
        seconds = self.clock.read_seconds()
        return [
            *(seconds[part] for part in PARTS),
            self.steps,
            float(tokens.get("student", 0)),
            float(self.computed_tokens),
            float(self._count_flops(tokens)),
            float(self.computed_flops),
        ]

    def begin_line(self, amounts: Sequence[float]) -> list[float]:
        """The amounts since the last line; the next one begins here."""
        since = [now - before for now, before in zip(amounts, self.at_line, strict=True)]
        self.at_line = list(amounts)
        return since

    def describe_speed(self, amounts: Sequence[float]) -> dict[str, Any]:
        """Rates of these amounts, a mean over processes; empty where nothing was trained.

        `seconds` and `step_s` are of one step. `mfu` counts real tokens, `mfu_computed` padding
        too; both are None where the device's peak is not known.
        """
        counted = dict(zip(AMOUNTS, amounts, strict=True))
        steps, total = counted["steps"], sum(counted[part] for part in PARTS)
        if not steps or not total:
            return {}
        return {
            "step_s": total / steps,
            "seconds": {part: counted[part] / steps for part in PARTS},
            "tokens_per_s": counted["tokens"] / total,
            "real_share": counted["tokens"] / counted["computed_tokens"],
            "mfu": self._divide_by_peak(counted["flops"] / total),
            "mfu_computed": self._divide_by_peak(counted["computed_flops"] / total),
        }

    def save_state(self) -> dict[str, Any]:
        """What a checkpoint keeps; on a GPU this waits for it."""
        return {
            "seconds": self.clock.read_seconds(),
            "steps": self.steps,
            "computed_tokens": self.computed_tokens,
            "computed_flops": self.computed_flops,
            "at_line": self.at_line,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes back to what `save_state` gave; to the beginning with an empty one."""
        self.clock.load_seconds(state.get("seconds", {}))
        self.steps = state.get("steps", 0.0)
        self.computed_tokens = state.get("computed_tokens", 0)
        self.computed_flops = state.get("computed_flops", 0)
        self.at_line = state.get("at_line", [0.0] * len(AMOUNTS))

    def _count_flops(self, tokens: Mapping[str, int]) -> int:
        return sum(each * tokens.get(name, 0) for name, each in self.flops_per_token.items())

    def _divide_by_peak(self, flops_per_s: float) -> float | None:
        return None if self.peak_flops is None else flops_per_s / self.peak_flops
