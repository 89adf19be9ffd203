"""Which look at a question this is, and that its intervals have that look's level."""

import pytest

from kvdistill.stats.analysis import analyse_study
from kvdistill.stats.audit.boundaries import compute_look_levels
from kvdistill.stats.audit.looks import adjust_for_look, number_look
from kvdistill.stats.settings import Settings
from kvdistill.stats.verdicts import judge_claims
from tests.stats.audit.records import load, record_look, record_plan, write_study

THREE = Settings(looks=3, resamples=999)


@pytest.fixture
def study(tmp_path):
    folder = write_study(tmp_path, seeds=(42, 43, 44, 45, 46))
    record_plan(folder)
    return folder


def find_look(study, settings=THREE):
    loaded = load(study)
    return number_look(loaded, loaded.questions["q"], settings)


def test_looks_at_the_same_seeds_count_once_and_one_seed_is_none(study):
    record_look(study, (42,))
    record_look(study, (42, 43, 44))
    record_look(study, (42, 43, 44), note="again")
    look = find_look(study)
    assert (look.number, look.seeds) == (2, (3, 5))
    record_look(study, (42, 43, 44, 45, 46))
    assert find_look(study) == look
    assert look.level == compute_look_levels(3, [3, 5], 0.05)[1]
    assert look.describe() == f"look 2 of 3, judged at {100 * look.level:.2f} %"


def test_a_study_that_plans_one_look_is_judged_at_its_confidence(study):
    loaded = load(study)
    question = loaded.questions["q"]
    assert adjust_for_look(Settings(), loaded, question) == Settings()
    assert find_look(study, Settings()).describe() == ""


def test_intervals_and_verdicts_are_wider_at_an_early_look(study):
    loaded = load(study)
    one, three = (
        analyse_study(loaded, settings)["q"].comparisons["kv"].macro.recipe
        for settings in (Settings(resamples=999), THREE)
    )
    assert three.high - three.low > 2 * (one.high - one.low)
    (narrow,), (wide,) = (judge_claims(loaded, s) for s in (Settings(resamples=999), THREE))
    assert wide.measured.low < narrow.measured.low < narrow.measured.high < wide.measured.high


def test_no_look_is_counted_while_no_arm_is_complete(study):
    for manifest in (study / "runs").glob("seed46-*/manifest.json"):
        manifest.unlink()
    look = find_look(study)
    assert (look.number, look.level) == (0, THREE.alpha)
    assert look.describe() == "3 looks are planned, none is taken yet"
