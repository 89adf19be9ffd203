"""report.runs=[A,B,...]: finished runs of any study compared, the first being the baseline."""

from collections.abc import Sequence
from pathlib import Path

from kvdistill.errors import ConfigError
from kvdistill.files import read_sealed, write_json
from kvdistill.plan.find_runs import find_finished_run
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.records import SCHEMA_VERSION


def make_comparison(root: Path, names: Sequence[str]) -> Path:
    """Writes the plan.json of a study whose one question is how these runs differ; its folder.

    Raises ConfigError for fewer than two runs, and for one that is not finished.
    """
    if len(set(names)) < 2:
        raise ConfigError(f"report.runs={list(names)} must name at least two different runs.")
    runs, arms = {}, {}
    for name in names:
        folder = find_finished_run(root, name, "report.runs")
        recipe = read_recipe(folder).recipe
        identity = folder.name.rpartition("-")[2]
        runs[identity] = {
            "folder": str(folder.relative_to(root)),
            "arm": recipe["arm"],
            "seed": recipe["seed"],
            # Each is an arm of its own: a recipe shared by two would make them replicates.
            "recipe": identity,
            "trained": recipe["trained"],
            "steps": read_sealed(folder / "manifest.json").get("ledger", {}).get("steps", 0),
        }
        arms[f"{recipe['arm']} {folder.name}"] = {str(recipe["seed"]): identity}
    study = root / "runs" / f"compared-{'-'.join(runs)}"
    question = {"question": "How far apart are these runs?", "arms": arms}
    plan = {"study": study.name, "questions": {"runs": question}, "references": {}, "runs": runs}
    write_json(study / "plan.json", {"schema_version": SCHEMA_VERSION, **plan})
    return study
