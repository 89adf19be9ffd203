"""A job says which code works on its folder, and what other code has left in it."""

from pathlib import Path

import pytest

from kvdistill import layout
from kvdistill.files import read_json, write_json
from kvdistill.jobs.code_record import record_code
from kvdistill.plan.graph import Node

STEP = "kvdistill.train.step"
RECIPE = {"trained": True, "student": {}, "data": {}, "tasks": {}}
NODE = Node("run", "seed1-1", RECIPE, {"split": "split-1"})


@pytest.mark.integration
def test_a_job_names_the_code_of_what_it_reads(tmp_path: Path) -> None:
    code = record_code(tmp_path, NODE, {"split": {"code": {"modules": {"a": "1"}}}})
    assert STEP in code.modules
    assert {*code.needs} == {"split-1"}
    assert len(code.needs["split-1"]) == 12
    assert read_json(tmp_path / layout.CODE) == code.to_json()
    assert record_code(tmp_path, NODE, {"split": {}}).needs == {"split-1": ""}


def test_work_that_other_code_left_stays_on_record_over_any_number_of_jobs(tmp_path: Path) -> None:
    code = record_code(tmp_path, NODE, {}).to_json()
    code["modules"][STEP] = "other"
    write_json(tmp_path / layout.CODE, code)
    assert not record_code(tmp_path, NODE, {}).earlier  # without a checkpoint it begins anew
    write_json(tmp_path / layout.CODE, code)
    (tmp_path / layout.CHECKPOINTS / "checkpoint-1").mkdir(parents=True)
    for _ in range(2):
        (earlier,) = record_code(tmp_path, NODE, {}).earlier
        assert earlier[STEP] == "other"
