"""Settings of the cluster: types, bounds, and that they are no part of a run."""

import pytest

pytestmark = pytest.mark.usefixtures("hydra")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("cluster.time_min=soon", "cluster.time_min: Value 'soon'"),
        ("cluster.time_min=0", "cluster.time_min must be at least 1, got 0"),
        ("cluster.time_min=1", "cluster.time_min must be at least 2, got 1"),
        ("cluster.gpus=-1", "cluster.gpus must be at least 0"),
        ("cluster.mem_gb=0", "cluster.mem_gb must be positive"),
        ("cluster.name=pbs", "cluster.name=pbs is no cluster. Choose one of local, slurm"),
        ("cluster.resources.kv={gpsu:1}", "cluster.resources.kv: gpsu is no resource"),
        ("cluster.resources.kv={gpus:x}", "cluster.resources.kv.gpus: Value 'x'"),
        ("cluster.sbatch=[exclusive]", "'exclusive' must read --NAME=VALUE or --NAME"),
        ("study='../up'", "study='../up' must be a folder's name"),
        ("status.format=xml", "status.format=xml is no format"),
    ],
)
def test_a_wrong_setting_is_named(override: str, says: str) -> None:
    from kvdistill.config.compose import compose
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        compose(["cluster=slurm", override])
    assert says in str(caught.value)


def test_the_cluster_is_no_part_of_a_run() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.identity import run_identity

    here = compose([])
    there = compose(["cluster=slurm", "cluster.partition=high", "cluster.resources.run={gpus:1}"])
    assert there["cluster"]["partition"] == "high"
    assert run_identity(here) == run_identity(there)
