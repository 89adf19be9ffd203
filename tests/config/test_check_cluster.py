"""Settings of the cluster: types, bounds, and that they are no part of a run."""

from pathlib import Path
from typing import Any

import pytest
import yaml

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
        ("cluster.sbatch=['--time=5']", "--time=5 says what cluster.time_min says"),
        ("cluster.sbatch=['--array=0-3']", "--array=0-3 says what cluster.array_throttle says"),
        ("cluster.sbatch=['--output=x']", "--output=x is what finds, orders or awaits the jobs"),
        ("cluster.sbatch=['--comment=a','--comment=b']", "cluster.sbatch has --comment 2 times"),
        (
            "cluster.sbatch=['--mem=1G','--mem-per-cpu=1G']",
            "--mem and --mem-per-cpu, which exclude",
        ),
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


def check_settings(**changed: Any) -> None:
    """Checks conf/cluster/slurm.yaml with these settings changed."""
    from kvdistill.config.check_cluster import check_cluster_settings

    conf = Path(__file__).parents[2] / "conf/cluster/slurm.yaml"
    check_cluster_settings({**yaml.safe_load(conf.read_text(encoding="utf-8")), **changed})


@pytest.mark.parametrize(
    ("setting", "value", "option"),
    [
        ("mem_gb", 8.0, "--mem-per-cpu=4G"),
        ("mem_gb", 8.0, "--mem-per-gpu=4G"),
        ("mem_gb", 8.0, "--mem=4G"),
        ("gpus", 1, "--gres=gpu:a100:1"),
        ("gpus", 2, "--gpus-per-node=2"),
        ("gpus", 1, "--gpus=1"),
        ("account", "a", "--account=b"),
    ],
)
@pytest.mark.parametrize("of_kind", [False, True])
def test_what_a_setting_and_an_option_both_say_is_refused_by_both_names(
    setting: str, value: Any, option: str, of_kind: bool
) -> None:
    from kvdistill.errors import ConfigError

    given = {setting: value}
    with pytest.raises(ConfigError) as caught:
        check_settings(sbatch=[option], **({"resources": {"run": given}} if of_kind else given))
    assert f"{setting}={value}" in str(caught.value)
    assert option in str(caught.value)


def test_other_options_and_those_of_settings_left_null_pass() -> None:
    check_settings(sbatch=["--mem-per-cpu=4G", "--gres=gpu:a100:1"])
    check_settings(sbatch=["--exclusive", "--reservation=spring"])
    check_settings(gpus=1, sbatch=["--gres=tmp:1"])
    # A kind of job may have options of its own instead.
    given = {"run": {"mem_gb": 8.0, "sbatch": []}}
    check_settings(sbatch=["--mem-per-cpu=4G"], resources=given)
