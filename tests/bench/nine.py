"""A sweep of nine against nine runs of the peer: the part `sweep` of tests.bench.peers."""

# ruff: noqa: T201 - a bench speaks on the terminal
from argparse import Namespace
from pathlib import Path
from typing import Any

from tests.bench import steps

RUNS = 9


def measure(root: Path, arguments: Namespace) -> dict[str, Any]:
    """At nano: seconds of both, after imports, from loading the weights to the last step.

    Ours also calibrates, builds the store of every text, validates and saves.
    """
    size = steps.Size(
        rounds=1,
        steps=10 if arguments.quick else 40,
        threads=arguments.threads or 1,
        overrides=(f"data.source.rows={40 if arguments.quick else 200}",),
        teacher=("teachers.a.build.training.steps=1",),
    )
    steps.lay_out(root, size)
    clock = "whole_cpu_s" if arguments.clock == "processor" else "whole_wall_s"
    ours = steps.run_contestant(root, "ours_nine", size.threads)[clock]
    peer = sum(steps.run_contestant(root, "trl_gkd", size.threads)[clock] for _ in range(RUNS))
    print(f"nano: nine of ours {ours:.1f} s, nine of GKD {peer:.1f} s", flush=True)
    return {"nano_nine_s": ours, "nano_nine_gkd_s": peer, "nano_sweep_over_gkd": ours / peer}
