"""What the stages share: their console, and the study that a command is about."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kvdistill import layout
from kvdistill.cluster.job_failures import NOT_STARTED
from kvdistill.config.compose import Config, compose
from kvdistill.console import SafeConsole
from kvdistill.errors import ConfigError

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
