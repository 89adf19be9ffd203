"""The doctor's checks of the plan and of this machine: what each found, and how to mend it."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from kvdistill.cache_folders import CACHES, list_unwritable_caches
from kvdistill.cli.plan_table import count_plan, describe_matched_arms
from kvdistill.cluster.preflight import check_arms
from kvdistill.console import format_count
from kvdistill.errors import UserError
from kvdistill.estimate import run_cost
from kvdistill.estimate.warnings import FEWEST_SEEDS
from kvdistill.geometry import Geometry
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.expand import expand_command
from kvdistill.plan.pin import assume_commits
from kvdistill.plan.resources.model_memory import count_weights

RUN_BYTES = 4 + 2 * 12
"""A weight's share of a run's folder: the exported model, and two checkpoints of the weight with
its two moments, in float32."""


@dataclass(frozen=True)
class Finding:
    """One line of the list."""

    check: str
    found: str
    mend: str = ""
    """Empty: nothing to mend."""


def check_baselines(rest: Sequence[str], sweeps: Path) -> Iterator[Finding]:
    """Whether every baseline composes and its rooms build."""
    try:
        plan = expand_command([["sweep=baselines", *rest]], sweeps)
        build_rooms(plan)
    except UserError as error:
        yield Finding("baselines", str(error), "Correct the setting that it names.")
        return
    yield Finding("baselines", f"{', '.join(plan.questions['baselines'].arms)} can be run")


def check_arm_builds(plan: Plan) -> Iterator[Finding]:
    """Whether the arms asked for build, at equal steps."""
    try:
        build_rooms(plan)
    except UserError as error:
        yield Finding("arms", str(error), "Correct the setting that it names.")
        return
    steps = plan.list_unified_steps()
    if len(steps) > 1:
        yield Finding(
            "arms", f"arms train for {' or '.join(map(str, steps))} steps",
            "Give all arms one budget.",
        )  # fmt: skip
        return
    recipes = format_count(len({run.recipe for run in plan.runs.values()}), "recipe")
    steps_each = f", {steps[0]} steps each" if steps else ""
    matched = "".join(f"; {line}" for line in describe_matched_arms(plan))
    yield Finding("arms", f"{recipes} can be built, for {count_plan(plan)}{steps_each}{matched}")


def build_rooms(plan: Plan) -> None:
    """Builds every distinct arm's rooms on meta tensors, in a child that may import torch.

    A branch without a commit is no fault of an arm: the weights' own line says it.
    """
    check_arms([assume_commits(run.config) for run in plan.runs.values()])


def check_seeds(plan: Plan) -> Iterator[Finding]:
    """Whether every trained arm of a question has the same seeds, and enough of them."""
    for name, question in plan.questions.items():
        trained = {
            label: frozenset(runs)
            for label, runs in question.arms.items()
            if plan.runs[next(iter(runs.values()))].config["trained"]
        }
        if not trained:
            continue
        if len(set(trained.values())) > 1:
            yield Finding("seeds", f"{name}: arms have different seeds", "Use one list of seeds.")
        elif len(min(trained.values(), key=len)) < FEWEST_SEEDS:
            seed_list = ", ".join(sorted(next(iter(trained.values()))))
            yield Finding(
                "seeds", f"{name}: {seed_list} alone", "Add -m seed=42,43,44, or name a sweep."
            )
        else:
            yield Finding("seeds", f"{name}: {', '.join(sorted(next(iter(trained.values()))))}")


def check_disk(root: Path, plan: Plan) -> Iterator[Finding]:
    """Whether logs, checkpoints and results can be written, and have room."""
    existing_folder = next(path for path in (root, *root.resolve().parents) if path.is_dir())
    try:
        # os.access knows nothing of quotas and of network file systems; writing does.
        with tempfile.NamedTemporaryFile(dir=existing_folder):
            pass
    except OSError as error:
        yield Finding("paths", f"root={root}: {error}", "Give a root that can be written.")
        return
    runs = [run.config for run in plan.runs.values() if run.config["trained"]]
    needed = sum(
        count_weights(Geometry.from_node(config["student"])) * RUN_BYTES for config in runs
    )
    free = run_cost.read_free_bytes(root)
    line = f"root={root}: {free / 2**30:.1f} GiB free, runs and checkpoints need about "
    line += f"{needed / 2**30:.1f} GiB"
    yield Finding("paths", line, "" if needed < free else "Give a root with more room.")


def check_caches() -> Iterator[Finding]:
    """Whether libraries can write what they keep below the home."""
    lost = list(list_unwritable_caches(os.environ))
    for cache, place in lost:
        yield Finding(
            "caches", f"{place}, for {cache.holds}, cannot be written",
            f"Set {cache.variable} to a folder that can, here and for the jobs.",
        )  # fmt: skip
    if not lost:
        yield Finding("caches", f"{len(CACHES)} folders of libraries can be written")


def draw_axes(figure: Figure) -> None:
    """The least of a figure."""
    figure.add_subplot()


def check_figures() -> Iterator[Finding]:
    """Whether a figure can be drawn here."""
    # seaborn is slow to import, and the other checks come first.
    from kvdistill.report.figures.style import render_figure

    try:
        drawn = render_figure("probe", "probe", "Axes.", draw_axes, (2, 1))
    except Exception as error:  # noqa: BLE001 - whatever it is, the report would meet it too
        yield Finding("figures", f"{type(error).__name__}: {error}", "Reinstall matplotlib.")
        return
    yield Finding("figures", f"drawn: {len(drawn.svg)} characters of SVG")
