"""Hydra's `-m`: its own sweeper, which composes no job a second time and writes no notes."""

from dataclasses import dataclass
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser


@dataclass
class KVDistillSweeperConf:
    """What `hydra/sweeper=kvdistill` stands for: the fields of Hydra's basic sweeper."""

    _target_: str = "hydra_plugins.kvdistill_sweeper.KVDistillSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="kvdistill", node=KVDistillSweeperConf, provider="kvdistill"
)


class KVDistillSweeper(BasicSweeper):
    """Expands the command line as Hydra does."""

    def sweep(self, arguments: list[str]) -> Any:
        """Hands all jobs over at once.

        Composes nothing: the plan composes each arm, once, before anything is written. Writes
        nothing: Hydra's own notes would need a folder outside the root, in a home that may be none.
        """
        assert self.launcher is not None
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        batches = self.split_arguments(parser.parse_overrides(arguments), None)
        return [self.launcher.launch(jobs, initial_job_idx=0) for jobs in batches]
