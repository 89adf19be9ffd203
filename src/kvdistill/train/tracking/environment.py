"""What trackers read from the environment: where they write, and which of their runs this is.

Everything lies below the root, and a run that is requeued or resumed goes on in the tracker's run.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from kvdistill import layout
from kvdistill.errors import ConfigError
from kvdistill.files import read_json, write_json


def check_tracker_package(name: str) -> None:
    """Raises ConfigError for a tracker whose package is not installed."""
    packages = ("tensorboard", "tensorboardX") if name == "tensorboard" else (name,)
    if name != "none" and not any(find_spec(package) for package in packages):
        raise ConfigError(
            f"train.report_to={name} needs the package {name}, which is not installed. Install it "
            f"(pip install {name}), or use report_to=none: curves.jsonl has the same numbers."
        )


def set_tracker_environment(tracker: str, folder: Path) -> None:
    """For a run in `folder`: a place of the user's stays, which run it is does not.

    A run's id that stood in the environment would put every run of a study into one.
    """
    study = folder.resolve().parents[1]
    place = layout.tracker_folder(study, tracker)
    project = f"kvdistill-{study.name}"
    places = {
        "TENSORBOARD_LOGGING_DIR": folder / "tensorboard",
        "WANDB_PROJECT": project,
        "WANDB_DIR": place,
        "WANDB_CACHE_DIR": place / "cache",
        "WANDB_DATA_DIR": place / "staging",
        "MLFLOW_EXPERIMENT_NAME": project,
        "MLFLOW_TRACKING_URI": place.as_uri(),
        "TRACKIO_DIR": place,
    }
    for name, value in places.items():
        if name.startswith(tracker.upper()):
            os.environ.setdefault(name, str(value))
    if tracker == "wandb":
        place.mkdir(parents=True, exist_ok=True)  # wandb writes into /tmp where it is not there
        os.environ |= {"WANDB_RUN_ID": folder.name, "WANDB_RESUME": "allow"}
    if tracker == "mlflow":
        # The file store is announced to end; until then it is the one that needs no server.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        os.environ.pop("MLFLOW_RUN_ID", None)
        if (known := read_tracker_run(folder)) is not None:
            os.environ["MLFLOW_RUN_ID"] = known


def read_tracker_run(folder: Path) -> str | None:
    """The id that a tracker gave the run when it first began; None before that."""
    path = folder / layout.TRACKER
    return str(read_json(path)["run"]) if path.is_file() else None


def write_tracker_run(folder: Path, tracker: str, run: str) -> None:
    """Keeps the id for whoever continues the run."""
    write_json(folder / layout.TRACKER, {"tracker": tracker, "run": run})
