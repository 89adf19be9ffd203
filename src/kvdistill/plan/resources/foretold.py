"""What a plan foretells of a run's training, so that what is measured can stand beside it."""

from dataclasses import asdict, dataclass
from typing import Any

from kvdistill.config.compose import Config
from kvdistill.config.schema import Estimate, read_group
from kvdistill.plan.budget import global_batch
from kvdistill.plan.flops import TokenLoad
from kvdistill.plan.matching.run_flops import (
    count_own_flops,
    count_student_flops,
    count_training_flops,
)
from kvdistill.plan.resources.run_memory import estimate_run_memory


@dataclass(frozen=True)
class Foretold:
    """Of one run, by its geometries and the `estimate` group, each text at its full length."""

    peak_bytes: int
    """Tensors of a rank at the highest moment of a step; what the libraries take comes on top."""
    step_flops: int
    """Of an optimiser step over all ranks; attention and recomputed layers among them."""
    step_s: float
    """On GPUs of `kind`, at the utilisation that the estimate states."""
    kind: str

    def to_json(self) -> dict[str, Any]:
        """As plan.json has it."""
        return asdict(self)


def foretell_training(config: Config) -> Foretold:
    """What a trained run's step takes."""
    estimate: Estimate = read_group("estimate", config["estimate"])
    budget = read_group("budget", config["budget"])
    load = TokenLoad.nominal(global_batch(budget) * budget.seq_len, budget.seq_len)
    flops = count_student_flops(config, load)
    own = count_own_flops(config)
    flops += count_training_flops(config, load) + own.student + own.teachers
    rate = budget.num_gpus * estimate.gpu.peak_tflops * 1e12 * estimate.utilisation
    return Foretold(estimate_run_memory(config).total, flops, flops / rate, estimate.kind)
