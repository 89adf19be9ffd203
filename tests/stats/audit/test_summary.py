"""What the record says of a study: one sentence, and warnings where numbers mean less."""

import json

import pytest

from kvdistill import layout
from kvdistill.history import append_event
from kvdistill.stats.audit.summary import summarise_history
from kvdistill.stats.load import load_study
from kvdistill.stats.settings import Settings
from tests.stats import fake
from tests.stats.audit.records import CLAIM, load, record_look, record_plan, write_study


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path)


def warn(study, **settings):
    return list(summarise_history(load(study), Settings(**settings)).warnings)


def test_an_honest_study_has_one_sentence_and_no_warning(study):
    record_plan(study)
    record_look(study, (42,))
    record_look(study)
    append_event(study.parents[1], "other", "planned", questions={}, claims=[{"sha256": "x"}])
    summary = summarise_history(load(study), Settings())
    assert summary.sentence == (
        "Asked: 1 claim in this study, 2 under this root; seeds planned: 42, 43, 44, all "
        "finished; looked at 2 times, 1 of them before all runs had finished."
    )
    assert list(summary.warnings) == []


@pytest.mark.parametrize(
    ("looks", "text"),
    [
        ([], "; never looked at."),
        ([(42, 43, 44)], "; looked at once, after all runs had finished."),
        ([(42,)], "; looked at once, before all runs had finished."),
    ],
)
def test_the_sentence_says_how_often_and_when_it_was_looked_at(study, looks, text):
    record_plan(study)
    for seeds in looks:
        record_look(study, seeds)
    assert summarise_history(load(study), Settings()).sentence.endswith(text)


def test_a_study_without_a_record_says_so(study):
    sentence = summarise_history(load(study), Settings()).sentence
    assert sentence.startswith("No record of s: made before the root kept one, so what was asked")


def test_of_joined_studies_the_one_without_a_record_is_named(tmp_path):
    studies = [write_study(tmp_path, name) for name in ("new", "old")]
    record_plan(studies[0])
    sentence = summarise_history(load_study(studies), Settings()).sentence
    assert sentence.endswith("; no record of old, made before the root kept one.")


def test_a_study_that_is_older_than_its_record_says_when_that_begins(study):
    record_plan(study, before_record=True)
    assert "s is older than its record, which begins at 2" in (
        summarise_history(load(study), Settings()).sentence
    )


def test_seeds_added_after_a_look_are_named_with_what_had_been_seen(study):
    record_plan(study, (42, 43))
    record_look(study, (42, 43))
    record_plan(study)
    record_look(study)
    judged, added = warn(study)
    assert judged.startswith("q: judged 2 times, with 2, 3 seeds, where stats.looks=1: the error")
    assert added.endswith(": seeds 44 were added after a look at 42, 43")


def test_seeds_added_before_any_look_are_no_news(study):
    record_plan(study, (42, 43))
    record_plan(study)
    record_look(study)
    assert warn(study) == []


def test_the_looks_of_a_design_are_numbered_and_those_beyond_it_warned_of(study):
    record_plan(study, (42, 43))
    record_look(study, (42, 43))
    record_plan(study)
    summary = summarise_history(load(study), Settings(looks=2))
    assert list(summary.warnings) == []
    assert " q: look 2 of 2, judged at 4." in summary.sentence
    record_look(study)
    record_look(study, (42, 43, 44, 45))
    assert warn(study, looks=2)[0].startswith("q: judged 3 times, with 2, 3, 4 seeds")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"primary": {"arm": "sft", "baseline": "kv"}}, "the primary comparison was changed"),
        ({"claims": []}, "\u201cF \u00b7 It wins\u201d was dropped or edited after a look"),
        ({"claims": [CLAIM, CLAIM | {"at_least": 1.0}]}, "was added after a look"),
        ({"claims": [CLAIM | {"text": "No worse"}]}, "reworded after a look, to \u201cF \u00b7 No"),
    ],
)
def test_what_is_judged_otherwise_after_a_look_is_named_and_before_it_is_not(study, change, line):
    record_plan(study, **change)
    record_plan(study)
    assert warn(study) == []
    record_look(study)
    record_plan(study, **change)
    record_plan(study)
    assert any(line in warning for warning in warn(study))


def test_a_plan_edited_by_hand_is_named(study):
    record_plan(study)
    plan = json.loads((study / "plan.json").read_text())
    plan["questions"]["q"]["primary"] = {"arm": "sft", "baseline": "kv"}
    fake.write_json(study / "plan.json", plan)
    (line,) = warn(study)
    assert line.endswith("from kv against sft to sft against kv; no command did so: plan.json was "
                         "edited")  # fmt: skip


def test_a_design_that_was_changed_after_planning_is_named(study):
    record_plan(study)
    record_look(study, looks=3)
    (line,) = warn(study)
    assert line.startswith("stats.looks=3 at the look of 2")
    assert line.endswith(", 1 when the study was planned")


def test_a_record_that_was_cut_is_named(study):
    record_plan(study)
    record_look(study)
    path = layout.history_file(study.parents[1])
    path.write_text(path.read_text().splitlines()[1] + "\n")
    assert warn(study)[0].startswith("the first line of history.jsonl follows another")


def test_claims_whose_line_was_cut_off_the_records_end_are_named(tmp_path):
    extra = {"hypotheses": {"claims": [], "event": "f" * 64}}
    study = fake.write_study(tmp_path, {"q": {"a": 0.0}}, tasks={"one": 20}, extra=extra)
    (line,) = warn(study)
    assert line.startswith("the claims of a seed 42, a seed 43, a seed 44 were recorded in lines")


def test_an_arm_that_was_tuned_more_than_its_baseline_is_named(study):
    record_plan(study)
    rates = {"varied": {"train.lr": [1, 2]}, "seeds": [42], "question": "rates"}
    append_event(study.parents[1], "search", "tuned", arm="kv", trials=4, **rates)
    (line,) = warn(study)
    assert line == (
        "settings of training were tried in 4 variants for kv under this root, and in 1 for its "
        "baseline sft"
    )
    append_event(study.parents[1], "search", "tuned", arm="sft", trials=4, **rates)
    summary = summarise_history(load(study), Settings())
    assert list(summary.warnings) == []
    assert "variants of training tried under this root: kv 4, sft 4." in summary.sentence
