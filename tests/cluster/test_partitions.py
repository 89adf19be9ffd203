"""What jobs ask, held against what sinfo says of a partition: each shortage names its line."""

from pathlib import Path
from typing import Any

import pytest

SWEEPS = Path(__file__).parents[2] / "sweeps"
pytestmark = pytest.mark.usefixtures("hydra")
PAPER = ("scale=paper", "arm=single_teacher", "source=store")
ROOMY = "gpu*|up|4|gpu:a100:8(S:0-1)|128|2000000"


def check(monkeypatch: pytest.MonkeyPatch, nodes: str, *overrides: str) -> dict[str, Any]:
    """Found and way out of each check, by its name, where sinfo says this."""
    from kvdistill.cluster import partitions
    from kvdistill.plan.expand import expand_command

    monkeypatch.setattr(partitions, "call_slurm", lambda *_: nodes)
    plan = expand_command([["stage=doctor", "cluster=slurm", *overrides]], SWEEPS)
    lines: dict[str, list[tuple[str, str]]] = {}
    for name, found, mend in partitions.check_jobs(plan):
        lines.setdefault(name, []).append((found, mend))
    return lines


def list_ways_out(lines: dict[str, Any], name: str = "jobs: training") -> list[str]:
    return [mend for _, mend in lines[name] if mend]


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [("gpu:8", 8), ("gpu:a100:4(S:0-1),nvme:1", 4), ("(null)", 0), ("gpu:a:2,gpu:b:2(S:1)", 4)],
)
def test_a_nodes_gpus_are_read_of_its_gres(gres: str, gpus: int) -> None:
    from kvdistill.cluster.partitions import count_gres_gpus

    assert count_gres_gpus(gres) == gpus


def test_a_roomy_partition_has_nothing_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = check(monkeypatch, ROOMY, *PAPER)
    kinds = ("split", "validation", "calibration", "kv", "training", "evaluation", "report")
    assert set(lines) == {f"jobs: {kind}" for kind in kinds}
    assert not any(mend for each in lines.values() for _, mend in each)
    assert any(
        found.startswith("8 tasks of 1 GPUs and 8 CPUs, ") for found, _ in lines["jobs: training"]
    )


def test_nodes_of_four_gpus_need_two_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    small = "gpu*|up|4|gpu:4|128|2000000"
    assert list_ways_out(check(monkeypatch, small, *PAPER)) == ["Set cluster.nodes=2."]
    assert not list_ways_out(check(monkeypatch, small, *PAPER, "cluster.nodes=2"))


def test_cpus_and_memory_name_their_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    lean = "gpu*|up|4|gpu:8|32|131072"
    ways_out = list_ways_out(check(monkeypatch, lean, *PAPER))
    assert ways_out[0] == "Set cluster.cpus=4."
    assert ways_out[1].startswith("Set cluster.mem_gb=128, ")
    assert not list_ways_out(
        check(monkeypatch, lean, *PAPER, "cluster.cpus=4", "cluster.mem_gb=128")
    )


def test_another_kind_of_job_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = "gpu*|up|4|gpu:8|16|2000000"
    (way_out,) = list_ways_out(check(monkeypatch, tiny, *PAPER), "jobs: kv")
    assert way_out == 'Set cluster.resources.kv="{cpus: 2}".'


def test_a_partition_without_gpus_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = "cpu*|up|4|(null)|128|2000000"
    assert "cluster.partition" in list_ways_out(check(monkeypatch, plain, *PAPER))[0]


def test_one_kind_of_node_of_several_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = f"gpu*|up|9|(null)|256|4000000\n{ROOMY}"
    assert not list_ways_out(check(monkeypatch, mixed, *PAPER))


def test_a_partition_that_is_not_up_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, nodes in (("old", f"{ROOMY}\nold|down|1|(null)|8|1000"), ("no", ROOMY)):
        lines = check(monkeypatch, nodes, *PAPER, f"cluster.partition={name}")
        assert lines["cluster"][0][1] == "Use one of gpu."


def test_no_slurm_here_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from kvdistill.cluster.partitions import check_jobs
    from kvdistill.plan.expand import expand_command

    plan = expand_command([["stage=doctor", "cluster=slurm"]], SWEEPS)
    monkeypatch.setenv("PATH", str(tmp_path))
    ((name, _, mend),) = check_jobs(plan)
    assert name == "cluster"
    assert "cluster=local" in mend
