"""What commands append: each state once, failures and deletions when they are noticed."""

import json
import shutil

import pytest

from kvdistill.files import read_sealed, write_sealed
from kvdistill.history import append_event, read_history
from kvdistill.plan.command_plan import Plan, PlannedRun
from kvdistill.plan.graph import Node
from kvdistill.plan.study_plan import Question
from kvdistill.stats.audit.lost_runs import list_failures_so_far, list_lost_runs
from kvdistill.stats.audit.record_events import record_look, record_plan
from tests.stats import fake
from tests.stats.audit.records import CLAIM, PRIMARY, SETTINGS, load, write_study


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path)


def look(study):
    record_look(study.parents[1], study, SETTINGS | {"hypotheses": []})
    return read_history(study.parents[1]).events


def find_run(study, label="kv", seed="43"):
    """The folder of a run of the made-up study."""
    plan = json.loads((study / "plan.json").read_text())
    entry = plan["runs"][plan["questions"]["q"]["arms"][label][seed]]
    return study.parents[1] / entry["folder"]


def test_a_look_has_what_was_finished_and_another_at_the_same_adds_nothing(study):
    (event,) = look(study)
    assert (event.event, event.study) == ("looked", "s")
    assert len(event.facts["finished"]) == event.facts["planned"] == 6
    assert event.facts["states"] == {"done": 6}
    assert event.facts["judged"] == {"q": [42, 43, 44]}
    assert event.facts["settings"] == SETTINGS
    assert len(look(study)) == 1


def test_an_arm_that_is_not_finished_cannot_be_judged(study):
    for label in ("sft", "kv"):
        (find_run(study, label) / "manifest.json").unlink()
    (event,) = look(study)
    assert event.facts["judged"] == {}
    assert len(event.facts["finished"]) == 4


def test_a_failure_stays_in_the_record_once_and_also_when_it_was_mended(study):
    run = find_run(study)
    manifest = (run / "manifest.json").read_bytes()
    (run / "manifest.json").unlink()
    status = {"state": "failed", "error": "loss is NaN", "cause": "error", "heartbeat": 1.5}
    fake.write_json(run / "status.json", status)
    events = look(study)
    assert [event.event for event in events] == ["failed", "looked"]
    assert events[0].facts["why"] == "loss is NaN"
    (line,) = list_failures_so_far(load(study))
    assert line.startswith("kv seed 43 failed at 2")
    (run / "manifest.json").write_bytes(manifest)
    assert [event.event for event in look(study)] == ["failed", "looked", "looked"]
    (line,) = list_failures_so_far(load(study))
    assert "and was done again until it finished: loss is NaN" in line


def test_a_finished_run_that_is_gone_or_made_again_is_noticed(study):
    look(study)
    run = find_run(study)
    kept = run.with_name("kept")
    run.rename(kept)
    (event,) = (event for event in look(study) if event.event == "deleted")
    assert (event.facts["label"], event.facts["seed"], event.facts["now"]) == ("kv", 43, "")
    (line,) = list_lost_runs(load(study))
    assert line.endswith("it is gone now: deleted, moved or renamed")
    shutil.copytree(kept, run)
    (line,) = list_lost_runs(load(study))
    assert line.endswith("its folder was deleted or altered, and the run made again")


def test_a_manifest_that_is_another_now_is_noticed_unless_the_run_was_set_aside(study):
    look(study)
    path = find_run(study) / "manifest.json"
    write_sealed(path, read_sealed(path) | {"wall_s": 2.0})
    append_event(study.parents[1], "s", "set_aside", name=path.parent.name)
    assert [event.event for event in look(study)] == ["looked", "set_aside", "looked"]
    write_sealed(path, read_sealed(path) | {"wall_s": 3.0})
    assert [event.event for event in look(study)][3:] == ["deleted", "looked"]


def make_plan(root, *, rates=(0.001,), text="It wins"):
    """A plan of one question whose arms train at these rates."""
    runs, arms = {}, {}
    for rate in rates:
        identity = f"run{rate}"
        config = fake.make_config("sft") | {
            "train": {"lr": rate, "max_grad_norm": 1.0},
            "loss": {"ce_weight": 1.0, "kv_weight": 1.0},
        }
        runs[identity] = PlannedRun(Node("run", f"seed42-{identity}", {}, {}), config, identity, 4)
        arms[f"sft train.lr={rate}"] = {"42": identity}
    judging = {"hypotheses": [CLAIM | {"text": text}], "primary": PRIMARY}
    stats = SETTINGS | {"hypotheses": [], "criteria": [CLAIM]}
    question = Question("?", judging, arms)
    return Plan(root, "s", runs, questions={"q": question}, config={"stats": stats}, command="c")


def test_a_plan_is_recorded_once_with_what_it_asks(tmp_path):
    record_plan(make_plan(tmp_path))
    record_plan(make_plan(tmp_path))
    (event,) = read_history(tmp_path).events
    question = event.facts["questions"]["q"]
    assert question["claims"][0]["text"] == event.facts["claims"][0]["text"] == "It wins"
    assert question["primary"] == PRIMARY
    assert question["arms"] == {
        "sft train.lr=0.001": {"recipe": "run0.001", "trained": True, "runs": {"42": "run0.001"}}
    }
    assert event.facts["settings"] == SETTINGS
    assert event.facts["before_record"] is False
    record_plan(make_plan(tmp_path, text="Other words"))
    assert len(read_history(tmp_path).events) == 2


def test_a_study_that_is_older_than_the_record_is_recorded_as_such(study):
    record_plan(make_plan(study.parents[1]))
    assert read_history(study.parents[1]).events[0].facts["before_record"] is True


def test_rates_that_are_tried_are_tuning(tmp_path):
    record_plan(make_plan(tmp_path, rates=(0.001, 0.003)))
    event = read_history(tmp_path).events[-1]
    assert event.event == "tuned"
    assert event.facts == {
        "question": "q", "arm": "sft", "varied": {"train.lr": [0.001, 0.003]}, "trials": 2,
        "seeds": [42],
    }  # fmt: skip
