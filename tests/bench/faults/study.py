"""A sweep of seconds, the command that runs it, and what must be the same whatever happened.

In a hurry (`--quick`) the sweep is one run of a few items, and commands that nobody disturbs are
answered by tests.launch_server, which has imported all that they need. A command that is disturbed
always is a process of its own, as a user's is.
"""

# ruff: noqa: T201 - a bench speaks on the terminal
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.launch_server import launch
from tests.slurm.study import evidence as of_run
from tests.slurm.study import read, runs

REPORT = "validation_report.json"
ROOT = Path(__file__).parents[3]
SWEEP = (
    "-m", "fusion=fixed,learnable", "source=store", "seed=1", "data.source.rows=40",
    "budget.batch_size=16", "budget.total_tokens=10240", "train.calibration_rows=8",
    "train.eval_steps=5", "train.save_steps=2", "train.eval_texts=16", "tasks=quick",
    "references=false", "teachers.a.build.training.steps=20",
    "teachers.b.build.training.steps=20",
)  # fmt: skip
"""Every stage: data, two teachers, their stores, calibration, two runs of ten steps, a report."""
QUICK_SWEEP = (
    "teachers=single", "fusion=learnable", *SWEEP[2:-2], "teachers.a.build.training.steps=2",
    "student.geometry.layers=2", "teachers.a.geometry.layers=2", "train.eval_tasks=0",
    "tasks.limit=1", "tasks.max_gen_toks=8",
)  # fmt: skip
"""Every stage, with one run of one teacher, and models of two layers."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    stderr: str
    """What it wrote to stderr, progress bars aside."""

    @property
    def clear(self) -> bool:
        """Refused in one line, no traceback."""
        return self.code in (1, 2) and bool(self.stderr) and "Traceback" not in self.stderr


def start(
    root: Path, *, before: Sequence[str] = (), arguments: Sequence[str], project: Path = ROOT
) -> subprocess.Popen[bytes]:
    """The command of a project, in a process group of its own, `before` in front of it."""
    return subprocess.Popen(
        [*before, sys.executable, "launch.py", *arguments, f"root={root}"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project / "src"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def end(command: subprocess.Popen[bytes]) -> Ended:
    """Waits for a command that nobody disturbs any more."""
    _, heard = command.communicate(timeout=900)
    return Ended(command.returncode, drop_progress(heard.decode(errors="replace")))


def drop_progress(text: str) -> str:
    """What is not a progress bar's line."""
    return "\n".join(one for one in text.splitlines() if one.strip() and "all jobs" not in one)


def run_by_server(root: Path, arguments: Sequence[str]) -> Ended:
    """The command, to its end, by the one server of this process."""
    done = launch(*arguments, f"root={root}")
    return Ended(done.returncode, drop_progress(done.stderr))


def kill(command: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Sends a signal to all processes of a command, and waits until it is gone."""
    with suppress(ProcessLookupError):
        os.killpg(command.pid, number)
    command.communicate()


def evidence(root: Path) -> dict[str, object]:
    """Artefacts by the hashes in their manifests; runs and verdicts by content."""
    contents: dict[str, object] = {}
    for path in root.glob("artifacts/*/manifest.json"):
        files = read(path)["files"]
        contents[path.parent.name] = {name: at for name, at in files.items() if name != REPORT}
        if (path.parent / REPORT).is_file():
            contents[f"{path.parent.name}/{REPORT}"] = drop_seconds(read(path.parent / REPORT))
    for identity, folder in runs(root).items():
        contents[identity] = of_run(folder) | {"items": (folder / "items.parquet").read_bytes()}
    contents["verdicts"] = json.loads((root / "runs/nano/report/significance.json").read_text())
    return contents


def drop_seconds(value: Any) -> Any:
    """A report without the seconds that it took."""
    if isinstance(value, dict):
        return {key: drop_seconds(one) for key, one in value.items() if key != "elapsed_s"}
    return [drop_seconds(one) for one in value] if isinstance(value, list) else value


def copy(folder: Path, place: Path) -> Path:
    """A finished study, or an artefact, of one's own."""
    shutil.copytree(folder, place, symlinks=True)
    return place


@dataclass
class Calm:
    """The study that nobody disturbs, how long it takes, and how its commands are run.

    What it left is waited for by whoever asks first: in a hurry others are at work beside it.
    """

    folder: Path
    quick: bool
    running: threading.Lock = field(default_factory=threading.Lock)
    outcome: tuple[float, dict[str, object]] | None = None

    def wait(self) -> tuple[float, dict[str, object]]:
        """Its seconds and evidence, once it has been run. Raises SystemExit where even that fails.

        The seconds are of the whole command; in a hurry with what its server took to start.
        """
        with self.running:
            if self.outcome is None:
                began = time.monotonic()
                ended = self.run(self.folder)
                if ended.code != 0:
                    raise SystemExit(f"the command ended with {ended.code}: {ended.stderr}")
                self.outcome = time.monotonic() - began, evidence(self.folder)
                print(f"left alone: {self.outcome[0]:.0f} s", flush=True)
            return self.outcome

    @property
    def root(self) -> Path:
        """Its root, once it is finished."""
        self.wait()
        return self.folder

    @property
    def seconds(self) -> float:
        """What it took."""
        return self.wait()[0]

    @property
    def arguments(self) -> Sequence[str]:
        """The command, but for its root."""
        return QUICK_SWEEP if self.quick else SWEEP

    def start(self, root: Path) -> subprocess.Popen[bytes]:
        """The command for a root, to be disturbed."""
        return start(root, arguments=self.arguments)

    def run(self, root: Path, *, before: Sequence[str] = ()) -> Ended:
        """The command for a root to its end, `before` in front of it."""
        if self.quick and not before:
            return run_by_server(root, self.arguments)
        return end(start(root, before=before, arguments=self.arguments))

    def list_differences(self, root: Path) -> list[str]:
        """What of a study is missing or has ended in other bits."""
        contents, (_, expected) = evidence(root), self.wait()
        names = sorted({*contents, *expected})
        return [name for name in names if contents.get(name) != expected.get(name)]

    def judge(self, root: Path, ended: Ended) -> str:
        """Same, or wrong and how: of a study that should be complete after a command."""
        if ended.code != 0:
            return f"wrong: exit code {ended.code}, {ended.stderr}"
        differing = self.list_differences(root)
        return f"wrong: {', '.join(differing)} differ" if differing else "same"
