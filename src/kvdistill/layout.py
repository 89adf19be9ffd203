"""Every file and folder of a root, by its name on disk: stated once, imported by whoever reads it.

ROOT/artifacts/KIND-HASH/        what runs share: MANIFEST last, so its presence means complete
ROOT/code/HASH/kvdistill/        the package as it was when jobs were started
ROOT/history.jsonl               what was asked of this root, and when
ROOT/smoke/STUDY/                a root of its own, for stage=smoke alone
ROOT/runs/STUDY/                 PLAN, BUDGET.*, VALIDATION_REPORT, report/, slurm/, published/
ROOT/runs/STUDY/runs/NAME/       one run: CONFIG, STATUS, CURVES, RESULTS, ITEMS, model/, MANIFEST
ROOT/runs/STUDY/trials/NAME/     one trial of a tuning: CONFIG, STATUS, CURVES, MANIFEST; no scores
"""

from collections.abc import Iterator
from pathlib import Path

CONFIG = "config.yaml"
"""What a job reads, sealed; written before it is queued."""
STATUS = "status.json"
LOG = "log.txt"
JOB = "job.json"
"""Which SLURM job does a folder's work."""
TRAINING_JOB = "training_job.json"
"""Which one trains a run that another, that of JOB, scores."""
TRAINED = "trained.json"
"""What training left in a run's folder, sealed; until its manifest takes that over."""
HYPOTHESES = "hypotheses.json"
"""What a run's questions claim, recorded before it trains."""
MANIFEST = "manifest.json"
HASHES = "hashes.json"
"""Of an artefact's large files and, beside the artefacts, of inputs: hashes as last read."""
CODE = "code.json"
"""Which code works on a folder, until its manifest says which code made it."""
TRIAL = "trial"
"""What the name of a trial's folder begins with, and no run's does."""
CURVES = "curves.jsonl"
ROUTING = "routing.json"
VALIDATION_TEXTS = "validation_texts.json"
"""The last validation's losses, text by text."""
ANSWERS = "answers.jsonl"
"""What a teacher wrote to the student half's questions."""
WRITTEN = "written.part"
"""Of it, what is written so far; removed once ANSWERS is whole."""
RESULTS = "results.json"
ITEMS = "items.parquet"
MODEL = "model"
CHECKPOINTS = "checkpoints"
TRACKER = "tracker.json"
"""Which of a tracker's runs a run is, where the tracker chooses the name."""
KILLED = "killed.json"
"""Of a smoke job's run that killed itself: after which step."""
STORE = "store.json"
"""Of a teacher's store: what it was made of, its layer groups, and the ids of its texts."""
STORE_INDEX = "index.safetensors"
"""Where each text of a store lies, and the digests of its bytes."""
SHARDS = "shard-*.safetensors"
"""A store's K and V; whoever reads a text of them proves its bytes."""

HISTORY = "history.jsonl"
"""What was asked of a root: planned, claimed, looked at, failed, withdrawn; only ever added to."""
PLAN = "plan.json"
PLAN_LOCK = ".plan.lock"
BUDGET = "budget"
"""With .json, .csv and .md."""
VALIDATION_REPORT = "validation_report.json"
REPORT = "report"
SLURM = "slurm"
"""Folder of a study's sbatch scripts and SLURM's logs."""
ORIGIN = "origin.json"
"""Beside a copy of the package that jobs run from: where it was copied from."""


def artifacts_folder(root: Path) -> Path:
    """Where everything lies that runs share."""
    return root / "artifacts"


def artifact_folder(root: Path, name: str) -> Path:
    """One shared artefact."""
    return artifacts_folder(root) / name


def shard_path(store: Path, number: int) -> Path:
    """A shard of a teacher's store."""
    return store / SHARDS.replace("*", f"{number:05d}")


def history_file(root: Path) -> Path:
    """The record of a root."""
    return root / HISTORY


def code_folder(root: Path) -> Path:
    """Copies of the package, one a content."""
    return root / "code"


def study_folder(root: Path, study: str) -> Path:
    """A study with its plan, runs and report."""
    return root / "runs" / study


def smoke_folder(root: Path, study: str) -> Path:
    """A root of its own for what stage=smoke does of a study: no result, no record lies there."""
    return root / "smoke" / study


def set_aside_folder(root: Path, study: str) -> Path:
    """Runs and artefacts that a command of the study made anew with other code: never read."""
    return study_folder(root, study) / "set_aside"


def run_folder(root: Path, study: str, name: str) -> Path:
    """A run of a study, or a trial."""
    return study_folder(root, study) / choose_runs_folder(name) / name


def published_folder(run: Path) -> Path:
    """Where stage=publish writes what it makes of a run."""
    return run.parents[1] / "published" / run.name


def tracker_folder(study: Path, tracker: str) -> Path:
    """Where an experiment tracker keeps a study's runs on this disk."""
    return study / "trackers" / tracker


def choose_runs_folder(name: str) -> str:
    """Below a study: where runs lie, or trials, which nothing takes for runs."""
    return "trials" if name.startswith(TRIAL) else "runs"


def glob_runs(root: Path, name: str = "*", file: str = "") -> Iterator[Path]:
    """The folders of all studies' runs that match, or this file in each that has it; sorted.

    A name that begins as trials' do finds trials, and no other finds any.
    """
    pattern = f"runs/*/{choose_runs_folder(name)}/{name}/{file}"
    return iter(sorted(root.glob(pattern.rstrip("/"))))


def find_artifacts_folder(job: Path) -> Path:
    """ROOT/artifacts, from the folder of an artefact or of a run below the same root."""
    parent = job.resolve().parent
    return parent if parent.name == "artifacts" else artifacts_folder(parent.parents[2])
