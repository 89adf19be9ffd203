"""An array of evaluations waits for an array of trainings job by job, as SLURM itself sees it."""

from pathlib import Path

import pytest

from kvdistill.cluster.slurm_arrays import JobArray, JobRequest, make_array_dependency
from kvdistill.config.schema import Resources
from kvdistill.plan.graph import Node
from tests.slurm.mini import MiniSlurm, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
TRAIN = """#!/bin/sh
case $SLURM_ARRAY_TASK_ID in
  0) exit 0 ;;
  1) exit 1 ;;
  2) while [ ! -e {folder}/go ]; do sleep 0.2; done ;;
esac
"""
SCORE = "#!/bin/sh\ntouch {folder}/scored-$SLURM_ARRAY_TASK_ID\n"


def make_array(kind: str, after: list[str]) -> JobArray:
    nodes = [Node(kind, f"run-{number}", {}, {}) for number in range(3)]
    unset = dict.fromkeys(("partition", "account", "qos", "constraint", "cpus", "mem_gb", "gpus"))
    resources = Resources(**unset, time_min=1, nodes=1, sbatch=[], setup=[])
    return JobArray(nodes, JobRequest(resources, 1), after, pairwise=bool(after))


def submit(slurm: MiniSlurm, folder: Path, text: str, *options: str) -> str:
    """The id of an array of three."""
    script = folder / "job.sh"
    script.write_text(text.format(folder=folder))
    fixed = ("--array=0-2", "--mem=10", "--cpus-per-task=1", "--kill-on-invalid-dep=yes")
    out = ("--output=/dev/null", "--parsable")
    return slurm.call("sbatch", *fixed, *out, *options, str(script)).strip()


def test_each_evaluation_waits_for_its_own_training_alone(slurm: MiniSlurm, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    training = submit(slurm, tmp_path, TRAIN)
    ids = {f"run-{number}.training": f"{training}_{number}" for number in range(3)}
    after = make_array_dependency(make_array("evaluation", list(ids)), ids)
    evaluation = submit(slurm, tmp_path, SCORE, f"--dependency={after}")
    wait_for((tmp_path / "scored-0").exists, 120)
    # Of the other two trainings one has failed, and one is still at work.
    wait_for(lambda: slurm.job(f"{evaluation}_1")["JobState"] == "CANCELLED", 120)
    assert slurm.job(f"{training}_2")["JobState"] == "RUNNING"
    assert not (tmp_path / "scored-2").exists()
    (tmp_path / "go").touch()
    wait_for((tmp_path / "scored-2").exists, 120)
    assert not (tmp_path / "scored-1").exists()
