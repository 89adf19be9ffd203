"""A tuning in plan.json: the way there and back, and the names of its trials."""

import json

from kvdistill.plan.study_plan import StudyPlan
from kvdistill.plan.tuning.record import Tuning
from tests.plan.tuning.trials import choose_all, make_trial, make_tuning

DONE = ((0.2, 0.5), None)


def test_plan_json_has_all_of_it_and_a_study_without_one_has_nothing_new(tmp_path) -> None:
    tuning = choose_all(make_tuning(kv=[make_trial(1, *DONE), make_trial(2, (0.3, 0), (0.3, 0))]))
    StudyPlan("s", tunings={"q": tuning}).write(tmp_path)
    assert StudyPlan.read(tmp_path).tunings == {"q": tuning}
    StudyPlan("s").write(tmp_path)
    assert not {"tunings", "trials"} & set(json.loads((tmp_path / "plan.json").read_text()))


def test_a_choice_is_the_same_after_it_was_read_back() -> None:
    tuning = choose_all(make_tuning(kv=[make_trial(1, (0.2, 0.5), (0.1, 0.5))]))
    again = Tuning.from_json(json.loads(json.dumps(tuning.to_json())))
    assert again.hash_arm(again.arms["kv"]) == tuning.arms["kv"].sha256


def test_every_run_of_a_trial_is_named_by_its_arm_and_number() -> None:
    names = make_tuning(kv=[make_trial(7), make_trial(8)]).name_trials()
    assert names["kv-8-2"] == "kv, trial 2 of 2"
    assert len(names) == 4
