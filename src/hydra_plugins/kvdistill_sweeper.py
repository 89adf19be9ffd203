"""Hydra's `-m`: its own sweeper, which does not compose every job a second time."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore


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

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Composes nothing: the plan composes each arm, once, before anything is written."""
