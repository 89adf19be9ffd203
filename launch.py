"""The one entry point: `python launch.py [-m] [group=choice] [group.key=value] ...`; see --help."""

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from kvdistill.cli.main import remember_hydra_overrides, run_command_line


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(_: DictConfig) -> None:
    """Without -m: one override list, which a sweep may still turn into many runs."""
    remember_hydra_overrides([list(HydraConfig.get().overrides.task)])


if __name__ == "__main__":
    sys.exit(run_command_line(main, Path(__file__).resolve().parent))
