"""report.runs=[A,B,...]: finished runs of any study compared, the first being the baseline."""

from collections.abc import Sequence
from pathlib import Path

from kvdistill import layout
from kvdistill.errors import ConfigError
from kvdistill.files import read_sealed
from kvdistill.plan.find_runs import find_finished_run
from kvdistill.plan.frozen_recipe import read_recipe
from kvdistill.plan.study_plan import Question, RunEntry, StudyPlan
from kvdistill.stats.differences.base import ANYTHING


def make_comparison(root: Path, names: Sequence[str]) -> Path:
    """Writes the plan.json of a study whose one question is how these runs differ; its folder.

    Raises ConfigError for fewer than two runs, and for one that is not finished.
    """
    if len(set(names)) < 2:
        raise ConfigError(f"report.runs={list(names)} must name at least two different runs.")
    plan = StudyPlan(study="")
    question = Question("How far apart are these runs?")
    for name in names:
        folder = find_finished_run(root, name, "report.runs")
        recipe = read_recipe(folder).recipe
        # A run's folder is called seedN-IDENTITY.
        identity = folder.name.rpartition("-")[2]
        ledger = read_sealed(folder / layout.MANIFEST).get("ledger", {})
        plan.runs[identity] = RunEntry(
            folder=str(folder.relative_to(root)),
            arm=recipe["arm"],
            seed=recipe["seed"],
            # Each is an arm of its own: a recipe shared by two would make them replicates.
            recipe=identity,
            trained=recipe["trained"],
            steps=ledger.get("steps", 0),
        )
        label = f"{recipe['arm']} {folder.name}"
        question.arms[label] = {str(recipe["seed"]): identity}
        # Named one by one: what differs between them is shown, and is what was asked.
        question.declared[label] = [ANYTHING]
    plan.study = f"compared-{'-'.join(plan.runs)}"
    plan.questions["runs"] = question
    study = layout.study_folder(root, plan.study)
    plan.write(study)
    return study
