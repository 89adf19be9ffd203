"""Every choice of conf/tasks builds, and names tasks that exist."""

from pathlib import Path

import hydra.utils
import pytest
from lm_eval.tasks import TaskManager
from omegaconf import OmegaConf

from kvdistill.evaluate.harness import TASKS
from kvdistill.evaluate.suite import Suite

CHOICES = sorted((Path(__file__).parents[2] / "conf/tasks").glob("*.yaml"))


@pytest.mark.parametrize("path", CHOICES, ids=lambda path: path.stem)
def test_a_choice_builds_and_its_tasks_exist(path):
    suite = hydra.utils.instantiate(OmegaConf.load(path), _convert_="object")
    assert isinstance(suite, Suite)
    assert suite.name == path.stem
    known = TaskManager(include_path=TASKS, include_defaults=False).all_tasks
    assert set(suite.all_tasks) <= set(known)
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_the_catalogue_has_the_subjects_of_the_benchmarks():
    manager = TaskManager(include_path=TASKS, include_defaults=False)
    counts = {
        name: len(manager.task_index[name].cfg["metadata"]["subjects"])
        for name in ("bbh", "cmmlu", "ceval")
    }
    assert counts == {"bbh": 27, "cmmlu": 67, "ceval": 52}
