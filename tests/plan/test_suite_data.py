"""A suite that the data cannot feed is told from its settings, with the way out."""

import json
from pathlib import Path

import pytest

from kvdistill.errors import ConfigError
from kvdistill.plan.expand import expand_command
from kvdistill.plan.suite_data import check_suite_data, list_families, list_suite_faults

SWEEPS = Path(__file__).parents[2] / "sweeps"
pytestmark = pytest.mark.usefixtures("hydra")


@pytest.fixture
def rows(tmp_path):
    """Rows of the user's own, each with a family of nano's in one column and its own in another."""
    path = tmp_path / "mine.jsonl"
    lines = [
        {"question": f"q{n}", "rationale": "r", "answer": "a", "kind": kind}
        for n, kind in enumerate(("nano_logic", "mine"))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def plan_runs(*overrides):
    return expand_command([["stage=plan", "arm=sft", *overrides]], SWEEPS)


def list_faults(*overrides):
    return list(list_suite_faults(plan_runs(*overrides).config))


@pytest.mark.integration
def test_own_rows_do_not_feed_the_generated_families(rows):
    own = ("data=jsonl", f"data.source.path={rows}")
    [fault] = list_faults(*own)
    assert "nano_arithmetic" in fault
    assert "Use tasks=own" in fault
    with pytest.raises(ConfigError, match="data=jsonl does not make"):
        check_suite_data(plan_runs(*own))
    assert list_faults(*own, "tasks=own") == []
    assert list_faults("data=nano") == []
    # One family is in the column that names tasks, the others are not.
    [fault] = list_faults(*own, "data.source.fields.task=kind", "tasks=quick")
    assert "nano_logic" not in fault
    assert "nano_exam" in fault
    assert list_faults(*own, "data.source.fields.task=kind", "tasks.tasks=[nano_logic]") == []


def test_a_source_of_the_users_own_may_make_anything():
    assert list_families({"_target_": "my.sources.Mine"}) is None


def test_a_data_root_that_is_no_folder_or_holds_nothing_is_refused(tmp_path):
    [fault] = list_faults("tasks=seven", "tasks.data_root=/nonexistent")
    assert "tasks.data_root=/nonexistent is no folder" in fault
    [fault] = list_faults("tasks=seven", f"tasks.data_root={tmp_path}")
    assert "has no rows of gsm8k, math500" in fault
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k/test.jsonl").write_text("{}\n")
    # Its worked examples are rows of another part.
    assert list_faults("tasks=gsm8k", f"tasks.data_root={tmp_path}")
    (tmp_path / "gsm8k/train.jsonl").write_text("{}\n")
    assert not list_faults("tasks=gsm8k", f"tasks.data_root={tmp_path}")
    assert list_faults("tasks=seven", f"tasks.data_root={tmp_path}") == []
