"""The submitting process of a large sweep, timed part by part; for tests.bench.cluster.

python -m tests.bench.submitting ARMS ROOT: ARMS arms x 3 seeds; the last line is one JSON object.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra import initialize_config_dir
from rich.console import Console

ROOT = Path(__file__).parents[2]
SWEEP = """
question: How does the weight of the KV term matter?
arms: {{multi_teacher: {{arm: multi_teacher}}}}
axes: {{loss.kv_weight: {weights}}}
seeds: [42, 43, 44]
"""


def main(arms: int, root: Path) -> None:
    """Plans, checks, prints, freezes and submits, the jobs held so that none starts."""
    from kvdistill.cluster import dry_run
    from kvdistill.cluster.preflight import check_arms
    from kvdistill.cluster.slurm import Submission
    from kvdistill.cluster.submit import resources_by_node
    from kvdistill.config.schema import read_group
    from kvdistill.plan import expand
    from kvdistill.plan.freeze import freeze_plan, map_folders
    from kvdistill.plan.requests import composer
    from kvdistill.plan.run_jobs import list_jobs, locate_jobs

    weights = [round(0.01 * number, 2) for number in range(1, arms + 1)]
    (root / "large.yaml").write_text(SWEEP.format(weights=weights))
    overrides = ["sweep=large", "cluster=slurm", "cluster.sbatch=[--hold]", f"root={root}"]
    seconds: dict[str, float] = {}
    processor: dict[str, float] = {}
    composed: list[tuple[float, float]] = []

    @contextmanager
    def time_part(part: str) -> Iterator[None]:
        began, used = time.perf_counter(), time.process_time()
        yield
        seconds[part] = time.perf_counter() - began
        processor[part] = time.process_time() - used

    compose = composer.compose

    def compose_and_time(overrides: list[str]) -> object:
        began = time.perf_counter(), time.process_time()
        try:
            return compose(overrides)
        finally:
            composed.append((time.perf_counter() - began[0], time.process_time() - began[1]))

    composer.compose = compose_and_time  # type: ignore[assignment]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        with time_part("expand"):
            plan = expand.expand_command([overrides], root)
        seconds["compose"], processor["compose"] = map(sum, zip(*composed, strict=True))
        for spent in (seconds, processor):
            spent["expand"] -= spent["compose"]
        nodes = [*plan.artifacts.values(), *(run.node for run in plan.runs.values())]
        settings = read_group("cluster", plan.config["cluster"])
        estimate = read_group("estimate", plan.config["estimate"])
        with time_part("check"):
            check_arms([run.config for run in plan.runs.values()])
        with time_part("dry run"):
            screen = Console(file=io.StringIO())
            dry_run.print_scripts(
                root,
                plan.study,
                settings,
                nodes,
                map_folders(plan),
                resources_by_node(plan),
                estimate,
                screen,
            )
        with time_part("freeze"):
            folders = freeze_plan(plan)
        jobs = list(list_jobs(nodes, settings))
        submission = Submission(
            root,
            plan.study,
            settings,
            locate_jobs(jobs, folders),
            resources_by_node(plan),
            estimate,
        )
        with time_part("submit"):
            submission.submit_missing(jobs, plan.config["stats"])
    summary = {
        "seconds": seconds,
        "processor_s": processor,
        "composed": len(composed),
        "jobs": len(submission.submitted),
    }
    print(json.dumps(summary | {"torch": "torch" in sys.modules}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
