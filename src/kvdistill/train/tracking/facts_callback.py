"""Tells the tracker what a run is, once the tracker's own callback has begun its run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback

from kvdistill.train.tracking.environment import write_tracker_run

FIELD = "kvdistill"
"""What stands before each field: trackers have transformers' arguments beside them."""
MLFLOW_BATCH, MLFLOW_LENGTH = 100, 500
"""Fields of one request, and characters of a field's value, that any MLflow server takes."""


class FactsCallback(TrainerCallback):
    """Added after the tracker's own callback, which is called before it."""

    def __init__(
        self, tracker: str, facts: Mapping[str, Any], folder: Path, others: Sequence[Any]
    ) -> None:
        """`others` are the trainer's callbacks, the tracker's among them."""
        self.tracker, self.facts, self.folder, self.others = tracker, facts, folder, others

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """On rank 0 alone, which alone has a tracker."""
        if state.is_world_process_zero:
            WRITERS[self.tracker](self)


def write_to_wandb(callback: FactsCallback) -> None:
    """One config entry; its keys are the fields."""
    import wandb

    wandb.config.update({FIELD: dict(callback.facts)}, allow_val_change=True)


def write_to_trackio(callback: FactsCallback) -> None:
    """A config entry a field."""
    import trackio

    fields = {f"{FIELD}.{name}": value for name, value in callback.facts.items()}
    trackio.config.update(fields, allow_val_change=True)


def write_to_mlflow(callback: FactsCallback) -> None:
    """A tag a field, for tags may be set again when a run goes on; notes the run's id."""
    import mlflow

    run = mlflow.active_run()
    assert run is not None
    write_tracker_run(callback.folder, "mlflow", run.info.run_id)
    fields = {f"{FIELD}.{k}": str(v)[:MLFLOW_LENGTH] for k, v in callback.facts.items()}
    names = list(fields)
    for first in range(0, len(names), MLFLOW_BATCH):
        mlflow.set_tags({name: fields[name] for name in names[first : first + MLFLOW_BATCH]})


def write_to_tensorboard(callback: FactsCallback) -> None:
    """Hyperparameters of the run's own event file, so that HPARAMS lists and filters by them."""
    from torch.utils.tensorboard.summary import hparams

    (board,) = (each for each in callback.others if isinstance(each, TensorBoardCallback))
    fields = {f"{FIELD}.{k}": "" if v is None else v for k, v in callback.facts.items()}
    for summary in hparams(fields, {"train/loss": 0}):
        board.tb_writer.file_writer.add_summary(summary)


WRITERS = {
    "wandb": write_to_wandb, "trackio": write_to_trackio, "mlflow": write_to_mlflow,
    "tensorboard": write_to_tensorboard,
}  # fmt: skip
