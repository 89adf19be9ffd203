"""Each tracker, as installed, in its local mode: what it was told is read back and compared."""

import json
import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

FACTS = {"study": "s", "label": "arm", "seed": 42, "git_commit": None, "config.loss.kv_weight": 0.5}
VARIABLES = ("WANDB", "MLFLOW", "TRACKIO", "TENSORBOARD")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run's, with the environment as it was before and a home that nothing may be written to."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(VARIABLES)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "root/runs/s/runs/seed42-abc"
    run.mkdir(parents=True)
    yield run
    os.environ.clear()
    os.environ.update(before)


def train(tracker: str, folder: Path) -> None:
    """Three steps of a tiny model, reported as a run's are."""
    import torch
    from transformers import Trainer, TrainingArguments

    from kvdistill.train.tracking.environment import set_tracker_environment
    from kvdistill.train.tracking.facts_callback import FactsCallback

    class Model(torch.nn.Linear):
        def forward(self, x: torch.Tensor, **_: Any) -> dict[str, torch.Tensor]:
            return {"loss": super().forward(x).square().mean()}

    set_tracker_environment(tracker, folder)
    arguments = TrainingArguments(
        output_dir=str(folder / "checkpoints"), max_steps=3, logging_steps=1, report_to=tracker,
        run_name=folder.name, project=f"kvdistill-{folder.parents[1].name}", use_cpu=True,
        save_strategy="no", disable_tqdm=True, remove_unused_columns=False,
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = Trainer(Model(2, 1), arguments, train_dataset=[{"x": torch.ones(2)}] * 8)
    others = trainer.callback_handler.callbacks
    trainer.add_callback(FactsCallback(tracker, FACTS, folder, others))
    trainer.train()
    if tracker == "wandb":
        import wandb

        wandb.finish()  # as the end of a job's process does
        time.sleep(1.1)  # places of offline runs are named by the second


def read_wandb(folder: Path) -> tuple[list[str], dict[str, Any]]:
    """(ids of the runs on disk, the last one's fields): what `wandb sync` uploads later."""
    from wandb.proto import wandb_internal_pb2

    paths = sorted((folder.parents[1] / "trackers/wandb/wandb").glob("offline-run-*/*.wandb"))
    assert len(paths) == 2, "each start of a run is synced into it"
    ids: list[str] = []
    fields: dict[str, Any] = {}
    for path in paths:
        for data in split_records(path.read_bytes()):
            record = wandb_internal_pb2.Record.FromString(data)
            ids += [record.run.run_id] if record.HasField("run") else []
            for each in (*record.run.config.update, *record.config.update):
                fields = json.loads(each.value_json) if "kvdistill" in each.key else fields
    return ids, fields


def split_records(data: bytes) -> Iterator[bytes]:
    """Of LevelDB's log format: blocks of 32 KiB, records of checksum, length, kind and bytes."""
    block, head, place, parts = 32768, 7, 7, b""
    while place + head <= len(data):
        if block - place % block < head:
            place += block - place % block
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        parts += data[place + head : place + head + length]
        place += head + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield parts
            parts = b""


def read_mlflow(folder: Path) -> tuple[list[str], dict[str, Any]]:
    import mlflow

    mlflow.set_tracking_uri((folder.parents[1] / "trackers/mlflow").as_uri())
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("kvdistill-s")
    runs = client.search_runs([experiment.experiment_id])
    tags = {key: value for key, value in runs[0].data.tags.items() if key.startswith("kvdistill.")}
    steps = [each.step for each in client.get_metric_history(runs[0].info.run_id, "loss")]
    assert steps[:3] == [1, 2, 3]
    return [run.info.run_id for run in runs], {
        k.removeprefix("kvdistill."): v for k, v in tags.items()
    }


def read_trackio(folder: Path) -> tuple[list[str], dict[str, Any]]:
    import sqlite3

    (path,) = (folder.parents[1] / "trackers/trackio").glob("kvdistill-s.db")
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT run_name, config FROM configs").fetchall()
    config = json.loads(rows[-1][1])
    fields = {
        k.removeprefix("kvdistill."): v for k, v in config.items() if k.startswith("kvdistill.")
    }
    return [name for name, _ in rows], fields


def read_tensorboard(folder: Path) -> tuple[list[str], dict[str, Any]]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    fields = {}
    for path in sorted((folder / "tensorboard").glob("events*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.tag == "_hparams_/session_start_info":
                    data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                    given = data.session_start_info.hparams
                    fields = {
                        k.removeprefix("kvdistill."): getattr(v, v.WhichOneof("kind"))
                        for k, v in given.items()
                    }
    return [folder.name], fields


READERS: dict[str, Callable[[Path], tuple[list[str], dict[str, Any]]]] = {
    "wandb": read_wandb, "mlflow": read_mlflow, "trackio": read_trackio,
    "tensorboard": read_tensorboard,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of the trackers' own libraries
@pytest.mark.parametrize("tracker", READERS)
def test_a_run_that_goes_on_is_one_run_with_its_fields_below_the_root(
    tracker: str, folder: Path, tmp_path: Path
) -> None:
    if find_spec(tracker) is None:
        pytest.skip(f"{tracker} is not installed")
    train(tracker, folder)
    train(tracker, folder)
    runs, fields = READERS[tracker](folder)
    assert len(set(runs)) == 1
    assert {str(fields[name]) for name in ("study", "label")} == {"s", "arm"}
    assert float(fields["config.loss.kv_weight"]) == 0.5
    assert float(fields["seed"]) == 42
    assert [path.name for path in tmp_path.iterdir()] == ["root"], "all lies below the root"
