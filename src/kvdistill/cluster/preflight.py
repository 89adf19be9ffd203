"""Whether every arm's parts build, asked before anything is queued."""

from collections.abc import Sequence
from pathlib import Path

from kvdistill.cluster import forkserver
from kvdistill.cluster.code_snapshot import take_early_snapshot
from kvdistill.cluster.local import prepare_environment
from kvdistill.cluster.run_module import call_in_new_process, call_in_server_process
from kvdistill.config.compose import Config
from kvdistill.config.schema import LocalCluster, read_group
from kvdistill.plan.world_size import world_size


def check_arms(configs: Sequence[Config]) -> None:
    """Builds every distinct arm's rooms on meta tensors, in a process that has torch.

    Raises ConfigError with the first thing a room refuses.
    """
    # Replicates are built of the same parts.
    distinct = list({repr({**config, "seed": 0}): config for config in configs}.values())
    settings = read_group("cluster", configs[0]["cluster"])
    if isinstance(settings, LocalCluster):
        # Its jobs come from a server that imports torch anyway, so the check comes from it too.
        forkserver.serve_code(take_early_snapshot(Path(configs[0]["root"])))
        prepare_environment(max(world_size("run", config) for config in configs), settings)
        call_in_server_process("kvdistill.train.preflight", "check_all", distinct)
    else:
        call_in_new_process("kvdistill.train.preflight", "check_all", distinct)
