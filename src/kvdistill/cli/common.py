"""What the stages share: their console, and the study that a command is about."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kvdistill import layout
from kvdistill.cluster.job_failures import NOT_STARTED
from kvdistill.config.compose import Config, compose
from kvdistill.config.schema import read_group
from kvdistill.console import SafeConsole
from kvdistill.errors import ConfigError
from kvdistill.estimate.choose_source import choose_sources
from kvdistill.plan.command_plan import Plan
from kvdistill.plan.freeze import map_folders
from kvdistill.plan.graph import Node

JobOverrides = Sequence[Sequence[str]]
"""The command's override lists as Hydra read them: one without -m, one a job with it."""

console = SafeConsole(width=None if sys.stdout.isatty() else 120)


def compose_study_config(job_overrides: JobOverrides) -> Config:
    """The config of a command about a study as a whole, whatever sweep it names."""
    return compose([item for item in job_overrides[0] if not item.startswith("sweep=")])


def find_study_folder(config: Config) -> Path:
    """runs/STUDY. Raises ConfigError where it does not exist, or where several are named."""
    if isinstance(config["study"], list):
        raise ConfigError(
            f"study={config['study']} names several studies, which only stage=report joins. "
            "Give one."
        )
    folder = layout.study_folder(Path(config["root"]), str(config["study"] or config["scale"]))
    if not (folder / layout.PLAN).is_file():
        known = sorted(path.parent.name for path in folder.parent.glob(f"*/{layout.PLAN}"))
        raise ConfigError(
            f"study={folder.name} has no plan in {folder.parent}/. "
            f"Known studies: {', '.join(known) or 'none'}."
        )
    return folder


def describe_failures(reasons: Mapping[str, str]) -> list[str]:
    """A line a failed job, without those that failed for want of another.

    Args:
        reasons: job name -> why it failed, as `submit` returns it.
    """
    own = {name: why for name, why in reasons.items() if not why.startswith(NOT_STARTED)}
    return [f"{name}: {why}" for name, why in own.items()]


def print_sources(plan: Plan) -> None:
    """Decides where runs that leave it open read their teachers, and says why."""
    for line in choose_sources(plan):
        console.print(line, soft_wrap=True)


def print_dry_run(plan: Plan, nodes: Sequence[Node]) -> None:
    """cluster.dry_run=true: prints what would be submitted; writes nothing."""
    # submitit is slow to import
    from kvdistill.cluster import dry_run
    from kvdistill.cluster.submit import resources_by_node

    settings = read_group("cluster", plan.config["cluster"])
    dry_run.print_scripts(
        plan.root, plan.study, settings, nodes, map_folders(plan), resources_by_node(plan),
        read_group("estimate", plan.config["estimate"]), console,
    )  # fmt: skip
