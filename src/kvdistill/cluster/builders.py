"""What each kind of job does: from frozen recipe and needed artefacts to files in its folder.

Each returns facts for the manifest, which the job writes last.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kvdistill.config.build import build
from kvdistill.data.build import Settings
from kvdistill.data.build import build as build_data
from kvdistill.geometry import Geometry
from kvdistill.models import load
from kvdistill.train import calibrate
from kvdistill.train.run import train

Recipe = Mapping[str, Any]
Needs = Mapping[str, Path]
Progress = Callable[[int, int], None]


def build_split(recipe: Recipe, _: Needs, folder: Path, __: Progress) -> dict[str, Any]:
    """Train halves, val and test, with their validation report."""
    data = recipe["data"]
    source = build("data.source", data["source"])
    rooms = {name: build(f"data.{name}", data[name]) for name in ("split", "leakage")}
    report = build_data(source, Settings(**rooms), folder)
    return {"files_sha256": report["files"]}


def build_model(recipe: Recipe, needs: Needs, folder: Path, progress: Progress) -> dict[str, Any]:
    """A student or teacher that the project makes itself."""
    node = recipe["model"]
    out = folder / "model"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    maker = build("build", node["build"])
    maker.build(Geometry(**node["geometry"]), needs.get("split"), out, progress)
    return {}


def do_run(recipe: Recipe, needs: Needs, folder: Path, progress: Progress) -> dict[str, Any]:
    """Trains if the arm trains, then evaluates and writes the records."""
    from kvdistill.evaluate import records  # lm-eval is slow to import

    config = dict(recipe)
    facts = train(config, needs, folder, progress) if config["trained"] else {}
    trained = folder if config["trained"] else needs.get("student")
    model = load.model(config["student"], "student", trained)
    tokenizer = load.tokenizer(config["student"], "student", trained)
    records.write(model, tokenizer, config, needs["split"], folder, facts, progress)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return {"arm": config["arm"], "seed": config["seed"], "ledger": facts}


BUILDERS: dict[str, Callable[[Recipe, Needs, Path, Progress], dict[str, Any]]] = {
    "split": build_split,
    "model": build_model,
    "calibration": calibrate.build,
    "run": do_run,
}
