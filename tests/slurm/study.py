"""A study of seconds, launched as a user does, on a cluster or on this machine."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.launch_server import ENVIRONMENT, LaunchServer
from tests.slurm.mini import MiniSlurm, wait_for

ROOT = Path(__file__).parents[2]
TINY = (
    "data.source.rows=40", "budget.batch_size=16", "budget.total_tokens=10240",
    "train.calibration_rows=8", "train.eval_steps=5", "train.save_steps=5", "tasks=quick",
    "references=false", "teachers.a.build.training.steps=2", "teachers.b.build.training.steps=2",
)  # fmt: skip
"""Ten steps of 16 texts."""
SWEEP = ("-m", *TINY[:-1], "arm=single_teacher", "loss.kv_weight=0.3,1.0", "seed=42")
"""Two arms of one teacher: every kind of job, and no more of them than that takes."""


@dataclass
class Launcher:
    """A copy of the project, and the SLURM it submits to."""

    project: Path
    slurm: MiniSlurm
    server: LaunchServer | None = None
    """Runs its commands without a new interpreter each."""

    @classmethod
    def copy_to(cls, project: Path, slurm: MiniSlurm) -> "Launcher":
        copy_project(project)
        return cls(project, slurm)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """One command, at work in an interpreter of its own, as a user's is."""
        env = self.slurm.environment() | ENVIRONMENT | {"PYTHONPATH": str(self.project / "src")}
        return subprocess.Popen(
            [sys.executable, "launch.py", *arguments],
            cwd=self.project, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def start_server(self) -> None:
        """From now on, commands called are run by a server."""
        self.server = LaunchServer.start(self.project, self.slurm.environment())

    def stop_server(self) -> None:
        """Ends it, if one was started."""
        if self.server is not None:
            self.server.stop()
            self.server = None

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """One command's output; fails where its exit code is another."""
        if self.server is not None:
            done = self.server.run(arguments)
        else:
            process = self.start(*arguments)
            out, err = process.communicate()
            done = subprocess.CompletedProcess(arguments, process.returncode, out, err)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def jobs(self) -> set[str]:
        """Ids of all jobs that SLURM remembers."""
        return set(self.slurm.call("squeue", "-h", "-r", "-t", "all", "-o", "%i").split())

    def names(self, ids: set[str]) -> list[str]:
        """Their kinds, sorted."""
        names = (self.slurm.job(identity)["JobName"] for identity in ids)
        return sorted(name.rpartition("-")[2] for name in names)

    def drain(self, seconds: float = 600) -> None:
        """Waits until the queue is empty."""
        # Each question is a process, and one of the daemon's answers: jobs need the cores.
        wait_for(lambda: not self.slurm.call("squeue", "-h").strip(), seconds, every=0.5)

    def state(self, folder: Path, job: str = "job.json") -> str:
        """SLURM's last word on a folder's job; the last of a run's, unless another is named."""
        return self.slurm.job(read(folder / job)["job_id"])["JobState"]


def copy_project(project: Path) -> None:
    """What a command needs of it, at a place where a test may edit it."""
    for name in ("src", "conf", "sweeps"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "launch.py", project)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def runs(root: Path, study: str = "nano") -> dict[str, Path]:
    """Identity -> folder of every run of a study, in the plan's order."""
    entries = read(root / f"runs/{study}/plan.json")["runs"]
    return {identity: root / entry["folder"] for identity, entry in entries.items()}


def evidence(folder: Path) -> dict[str, bytes]:
    """What must be the same bits wherever and however often a run was done."""
    files = {name: (folder / name).read_bytes() for name in ("model/model.safetensors",)}
    results = read(folder / "results.json")
    results.pop("efficiency", None)  # seconds
    curves = [json.loads(line) for line in (folder / "curves.jsonl").read_text().splitlines()]
    for line in curves:
        line.pop("train_s", None)  # measured
        line.pop("speed", None)
    routing = folder / "routing.json"  # fine-tuning alone has no teachers to choose among
    return files | {
        "results": json.dumps(results).encode(),
        "curves": json.dumps(curves).encode(),
        "routing": routing.read_bytes() if routing.is_file() else b"",
    }


def copy_artifacts(root: Path, target: Path) -> None:
    """Spares a study at `target` from building again what one at `root` has built."""
    shutil.copytree(root / "artifacts", target / "artifacts")


def artifacts(root: Path) -> list[str]:
    """Kinds of the finished artefacts, sorted."""
    manifests = (root / "artifacts").glob("*/manifest.json")
    return sorted(path.parent.name.partition("-")[0] for path in manifests)
