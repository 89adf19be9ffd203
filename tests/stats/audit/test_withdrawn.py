"""What was withdrawn is in no mean, and in every verdict that it would have decided."""

import json
from pathlib import Path
from typing import Any

import pytest

from kvdistill.errors import ConfigError
from kvdistill.plan.labels.withdrawal import withdraw_runs
from kvdistill.stats.analysis import analyse_study
from kvdistill.stats.hypotheses import build_registration
from kvdistill.stats.load import load_study
from kvdistill.stats.settings import Settings
from kvdistill.stats.summary import build_tables
from kvdistill.stats.verdicts import Verdict, judge_claims, judge_levels
from tests.stats import fake

CLAIM = {"name": "gain", "arm": "arm", "baseline": "base", "at_least": 0.0}
JUDGED = {
    "q": {
        "primary": {"arm": "arm", "baseline": "base"},
        "hypotheses": [CLAIM],
        "criteria": [{**CLAIM, "level": "minimum"}],
    }
}


def write_study(root: Path) -> Path:
    levels = {"base": 0.0, "arm": 0.2, "third": 0.1}
    return fake.write_study(root, {"q": levels}, tasks={"one": 30}, judged=JUDGED)


def read_plan(study: Path) -> Any:
    return json.loads((study / "plan.json").read_text())


def get_run(study: Path, label: str, seed: int) -> str:
    identity: str = read_plan(study)["questions"]["q"]["arms"][label][str(seed)]
    return identity


def judge(study: Path) -> list[Verdict]:
    return judge_claims(load_study([study]), Settings())


def test_a_withdrawn_arm_is_compared_with_nothing_and_named(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    runs = [get_run(study, "arm", seed) for seed in (42, 43, 44)]
    withdraw_runs(tmp_path, study, "a bug", label="arm")
    records = load_study([study])
    assert list(records.questions["q"].arms) == ["base", "third"]
    assert not set(runs) & set(records.runs)
    (one,) = records.withdrawn
    assert (one.question, one.label, one.reason, one.whole) == ("q", "arm", "a bug", True)
    assert [run.identity for run in one.runs] == runs
    assert all(run.done for run in one.runs)
    (table,) = build_tables(records)
    assert "arm" not in table.rows
    assert table.withdrawn == [f"arm was withdrawn on {one.time[:10]}: a bug"]


def test_a_verdict_on_it_says_withdrawn_and_so_does_its_level(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    withdraw_runs(tmp_path, study, "a bug", label="arm")
    verdicts = judge(study)
    assert {verdict.verdict for verdict in verdicts} == {"withdrawn"}
    assert all("arm was withdrawn on" in verdict.measured.why for verdict in verdicts)
    assert judge_levels(verdicts) == {"minimum": "withdrawn"}


def test_a_withdrawn_baseline_is_not_replaced_in_silence(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    withdraw_runs(tmp_path, study, "a bug", label="base")
    assert {verdict.verdict for verdict in judge(study)} == {"withdrawn"}


def test_a_claim_about_a_withdrawn_teacher_says_so(tmp_path: Path) -> None:
    claim = {"name": "near", "arm": "arm", "baseline": "teacher big", "at_least": 0.0}
    study = fake.write_study(
        tmp_path, {"q": {"arm": 0.2}}, tasks={"one": 30}, teachers={"big": 0.5},
        judged={"q": {"hypotheses": [claim]}},
    )  # fmt: skip
    withdraw_runs(tmp_path, study, "of other tasks", label="teacher big")
    assert load_study([study]).references == {}
    (verdict,) = judge(study)
    assert verdict.verdict == "withdrawn"
    assert verdict.withdrawn.endswith(": of other tasks")


def test_another_questions_arm_of_the_same_label_does_not_stand_in(tmp_path: Path) -> None:
    levels = {"base": 0.0, "arm": 0.2}
    study = fake.write_study(tmp_path, {"q": levels, "p": levels}, tasks={"one": 30}, judged=JUDGED)
    withdraw_runs(tmp_path, study, "a bug", label="q: arm")
    assert {verdict.verdict for verdict in judge(study)} == {"withdrawn"}


def test_one_withdrawn_run_leaves_the_others_and_stands_beside_the_verdict(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    withdraw_runs(tmp_path, study, "diverged", run=get_run(study, "arm", 43))
    records = load_study([study])
    assert list(records.questions["q"].arms["arm"].runs) == [42, 44]
    for verdict in judge_claims(records, Settings()):
        assert verdict.verdict != "withdrawn"
        assert "arm (seed 43) was withdrawn on" in verdict.withdrawn
        assert verdict.withdrawn.endswith(": diverged")


def test_what_is_planned_again_counts_again_and_says_so(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    arms = read_plan(study)["questions"]["q"]["arms"]
    withdraw_runs(tmp_path, study, "a bug", label="arm")
    plan = read_plan(study)
    plan["questions"]["q"]["arms"] = arms
    (study / "plan.json").write_text(json.dumps(plan))
    records = load_study([study])
    (one,) = records.withdrawn
    assert one.planned_again
    assert set(records.runs) >= set(arms["arm"].values())
    for verdict in judge_claims(records, Settings()):
        assert verdict.verdict != "withdrawn"
        assert "and planned again since: a bug" in verdict.withdrawn


def test_a_question_without_arms_is_no_comparison(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    for label in ("base", "arm", "third"):
        withdraw_runs(tmp_path, study, "a bug", label=label)
    records = load_study([study])
    assert analyse_study(records, Settings()) == {}
    (table,) = build_tables(records)
    assert len(table.withdrawn) == 3
    assert {verdict.verdict for verdict in judge_claims(records, Settings())} == {"withdrawn"}


def test_a_claim_that_was_dropped_with_its_arm_is_not_unsaid(tmp_path: Path) -> None:
    registered = {"hypotheses": build_registration([CLAIM])}
    levels = {"base": 0.0, "arm": 0.2}
    study = fake.write_study(tmp_path, {"q": levels}, tasks={"one": 30}, extra=registered)
    withdraw_runs(tmp_path, study, "a bug", label="arm")
    (verdict,) = judge(study)
    assert (verdict.claim.name, verdict.verdict) == ("gain", "withdrawn")


def test_a_label_of_two_recipes_is_refused_with_the_way_out(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    plan = read_plan(study)
    arms = plan["questions"]["q"]["arms"]
    other = arms.pop("third")["43"]
    arms["arm"]["43"] = other
    (study / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ConfigError, match=r"label arm of question q holds runs of 2 recipes"):
        load_study([study])
    withdraw_runs(tmp_path, study, "another recipe", run=other)
    assert list(load_study([study]).questions["q"].arms["arm"].runs) == [42, 44]


def test_an_arm_that_two_questions_share_has_both_labels(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    plan = read_plan(study)
    arms = plan["questions"]["q"]["arms"]
    plan["questions"]["p"] = {
        "question": "p",
        "arms": {"right": arms["arm"], "base": arms["third"], "third": arms["third"]},
    }
    (study / "plan.json").write_text(json.dumps(plan))
    assert list(load_study([study]).distinct_arms()) == [
        "q: base", "arm, right", "third, p: base"
    ]  # fmt: skip


def test_teachers_of_one_name_in_two_studies_stand_beside_each_other(tmp_path: Path) -> None:
    levels = {"q": {"a": 0.0}}
    one = fake.write_study(tmp_path, levels, name="one", teachers={"big": 0.5}, tasks={"t": 30})
    two = fake.write_study(tmp_path, levels, name="two", teachers={"big": 0.5}, tasks={"t": 30})
    plan = read_plan(two)
    old = plan["references"]["big"]
    plan["runs"]["other"] = plan["runs"].pop(old)
    plan["references"]["big"] = "other"
    (two / "plan.json").write_text(json.dumps(plan))
    assert list(load_study([one, two]).references) == ["big", "two: big"]
