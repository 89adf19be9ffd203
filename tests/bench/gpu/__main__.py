"""The platform on one GPU: whether it is right, how fast it is, what it holds; beside its peers.

    python -m tests.bench.gpu [--only PART|CASE ...] [--minutes 10] [--out FOLDER]
    python -m tests.bench.gpu --device cpu --tiny
    python -m tests.bench.gpu --table FOLDER/gpu.jsonl

Models have the true shapes of Qwen2.5-1.5B, taught by a 7B, a 7B and Llama-8B, or a 14B, and
weights drawn at random; texts are generated, nothing is downloaded. Every case is the platform's
own job (`train_student`) on a config that Hydra composed, alone in its process. A line of JSON a
case goes to FOLDER/gpu.jsonl as it comes ($OUT where --out is not given), so that a bench that is
stopped keeps what it has. The last line that is printed is one JSON object.

Parts: correctness, steps, peers, store, rooms, options. A case that this version's settings or this
machine's packages do not have is left out by name; so is, of tiny models, what would be compiled.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import argparse
import os
import sys
from pathlib import Path

from tests.bench.gpu.cases import CASES, PARTS

RAW = "gpu.jsonl"


def main(arguments: list[str] | None = None) -> int:
    """Measures, prints, and says whether every goal is met that could be judged."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="models of a few thousand weights")
    parser.add_argument("--only", nargs="+", choices=(*PARTS, *CASES), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=10.0, help="of all of it")
    parser.add_argument("--case-seconds", type=float, default=120.0, help="of one case at most")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "gpu-bench")))
    parser.add_argument(
        "--table", type=Path, help="print raw lines as markdown, and measure nothing"
    )
    given = parser.parse_args(arguments)
    if given.table is not None:
        from tests.bench.gpu.table import read_records, render_tables

        print(render_tables(read_records(given.table)), end="")
        return 0
    names = [n for n, case in CASES.items() if case.part in given.only or n in given.only]
    set_environment(given.device)
    from tests.bench.gpu.session import Session  # torch: only once the environment is set

    session = Session(given.out / RAW, tiny=given.tiny, minutes=given.minutes)
    return session.measure_cases(names, given.case_seconds)


def set_environment(device: str) -> None:
    """What libraries read when they are imported, or when a GPU is first used."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    os.environ |= {
        "CUDA_VISIBLE_DEVICES": first if device == "cuda" else "",
        # A forked process cannot use a GPU that its parent has opened.
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
    }
    if device == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # else DeepSpeed warns that it guesses so
    from kvdistill.cluster.environment import ALLOCATOR

    os.environ.setdefault(ALLOCATOR[0], "expandable_segments:True")


if __name__ == "__main__":
    sys.exit(main())
