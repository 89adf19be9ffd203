"""An arm that trained more than the others is named and compared with none, from files on disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from kvdistill.files import read_sealed, write_sealed
from kvdistill.report.build import build_report
from kvdistill.report.sections.budget import check_budget_parity
from kvdistill.stats.analysis import analyse_study
from kvdistill.stats.compare import UNEQUAL
from kvdistill.stats.equal_budget import choose_view, explain_unequal_arms
from kvdistill.stats.load import load_study
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, QuestionRecords, Run, Study
from kvdistill.stats.verdicts import judge_claims
from tests.stats import fake

pytestmark = pytest.mark.integration

ARMS = {"raw_student": -0.9, "sft": -0.4, "single": -0.2, "multi": 0.3}
CLAIM = {"name": "F1", "arm": "multi", "baseline": "sft", "at_least": 0.0}
FAST = {"resamples": 999}


def write_unequal_study(
    root: Path, key: str = "steps", factor: float = 1.0, label: str = "multi", **more: Any
) -> Path:
    """A study whose runs of one arm spent `factor` times of one thing."""
    judged = {"baselines": {"hypotheses": [CLAIM], **more.pop("judged", {})}}
    folder = fake.write_study(root, {"baselines": ARMS}, judged=judged, **more)
    plan = json.loads((folder / "plan.json").read_text())
    for identity in plan["questions"]["baselines"]["arms"][label].values():
        path = root / plan["runs"][identity]["folder"] / "manifest.json"
        manifest = read_sealed(path)
        manifest["ledger"][key] = round(manifest["ledger"][key] * factor)
        write_sealed(path, manifest)
    return folder


def compare_with_baseline(folder: Path) -> dict[str, Any]:
    analysis = analyse_study(load_study([folder]), Settings(**FAST))["baselines"]
    return {label: one.macro for label, one in analysis.comparisons.items()}


@pytest.mark.parametrize(
    ("key", "factor"), [("steps", 1.025), ("sequences", 1.02), ("real_tokens", 0.98)]
)
def test_an_arm_outside_one_percent_is_compared_with_no_other(
    tmp_path: Path, key: str, factor: float
) -> None:
    folder = write_unequal_study(tmp_path, key, factor)
    records = load_study([folder])
    equal, words = check_budget_parity(records)
    assert equal is False
    amount = f"{round(fake.LEDGER[key] * factor):,} {key.replace('_', ' ')}"
    assert f"multi (seed 42) trained {amount}" in words
    assert "sft" not in words
    (verdict,) = judge_claims(records, Settings(**FAST))
    assert verdict.verdict == "pending"
    assert UNEQUAL in verdict.measured.why
    # The raw student is the baseline and trained nothing: it may stand beside any.
    assert {label: one.status for label, one in compare_with_baseline(folder).items()}[
        "multi"
    ] != UNEQUAL


@pytest.mark.usefixtures("undrawn")
def test_the_page_says_so_in_red(tmp_path: Path) -> None:
    folder = write_unequal_study(tmp_path, "steps", 1.5)
    plan = json.loads((folder / "plan.json").read_text())
    plan["questions"]["baselines"]["primary"] = {"baseline": "sft"}
    (folder / "plan.json").write_text(json.dumps(plan))
    page = build_report([folder], folder / "report", FAST).read_text()
    assert 'class="off">unequal budgets<' in page
    assert "multi (seed 42) trained 60 steps, not 40" in page
    assert "multi cannot be compared with sft. Unequal budgets" in page
    cells = json.loads((folder / "report/significance.json").read_text())
    comparisons = cells["questions"]["baselines"]["comparisons"]
    assert {d["estimate"] for d in comparisons["multi"].values()} == {None}
    assert None not in {d["estimate"] for d in comparisons["single"].values()}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("key", "factor"), [("sequences", 1.009), ("real_tokens", 0.991)])
def test_within_one_percent_nothing_is_refused(tmp_path: Path, key: str, factor: float) -> None:
    folder = write_unequal_study(tmp_path, key, factor)
    assert check_budget_parity(load_study([folder]))[0] is True
    assert judge_claims(load_study([folder]), Settings(**FAST))[0].verdict != "pending"
    page = build_report([folder], folder / "report", FAST).read_text()
    assert "unequal budgets" not in page


def test_one_step_more_is_too_many(tmp_path: Path) -> None:
    assert (
        check_budget_parity(load_study([write_unequal_study(tmp_path, "steps", 1.025, "sft")]))[0]
        is False
    )


def test_arms_that_read_other_texts_are_held_to_equal_steps_and_texts_alone(tmp_path: Path) -> None:
    """A style of shorter answers trains fewer real tokens at an equal budget, by its nature."""
    style = {"multi": {"style": {"_target_": "fake.style", "of": "answers"}}}
    declared = ("arm", "fusion", "trained", "style")
    folder = write_unequal_study(tmp_path, "real_tokens", 0.8, settings=style, declared=declared)
    assert judge_claims(load_study([folder]), Settings(**FAST))[0].verdict == "pending"
    plan = json.loads((folder / "plan.json").read_text())
    for identity in plan["questions"]["baselines"]["arms"]["multi"].values():
        path = tmp_path / plan["runs"][identity]["folder"] / "manifest.json"
        manifest = read_sealed(path)
        manifest["ledger"]["texts"] = "answers only"
        write_sealed(path, manifest)
    equal, words = check_budget_parity(load_study([folder]))
    assert equal is True
    assert "2 sets of texts" in words
    assert judge_claims(load_study([folder]), Settings(**FAST))[0].verdict != "pending"


def make_arm(label: str, steps: int, **ledger: Any) -> Arm:
    runs = {
        seed: Run(
            identity=f"{label}{seed}", folder=Path(label), arm=label, seed=seed, trained=True,
            manifest={"ledger": {"steps": steps, "teacher_flops": 0, "train_s": 10.0, **ledger}},
        )
        for seed in (1, 2)
    }  # fmt: skip
    return Arm(label=label, runs=runs)


def test_equal_flops_are_those_of_student_and_teachers_whoever_stored_them() -> None:
    sft = make_arm("sft", 200, student_flops=2000)
    online = make_arm("kv", 100, student_flops=1000, teacher_flops=1000)
    stored = make_arm("stored", 100, student_flops=1000, stored_teacher_flops=1000, stored_bytes=9)
    for kv in (online, stored):
        assert "200" in explain_unequal_arms(kv, sft, "steps")
        assert explain_unequal_arms(kv, sft, "flops") == ""
    # A store saves nothing: without what its teacher would cost, nobody knows.
    old = make_arm("old", 100, student_flops=1000, stored_bytes=9)
    assert "old has no FLOPs" in explain_unequal_arms(old, sft, "flops")


def test_equal_flops_are_those_of_writing_answers_too() -> None:
    sft = make_arm("sft", 200, student_flops=2000)
    answers = {"a": {"artifact": "answers-1", "flops": 500}, "b": {"artifact": "2", "flops": 500}}
    taught = make_arm("taught", 100, student_flops=1000, answers=answers)
    assert explain_unequal_arms(taught, sft, "flops") == ""
    gold = make_arm("gold", 100, student_flops=1000)
    assert "50.0% apart" in explain_unequal_arms(gold, sft, "flops")


@pytest.mark.parametrize(("flops", "equal"), [(2019, True), (1981, True), (2060, False)])
def test_flops_agree_within_a_step_or_two_percent(flops: int, equal: bool) -> None:
    ours = make_arm("kv", 200, student_flops=flops)
    assert (
        explain_unequal_arms(ours, make_arm("sft", 200, student_flops=2000), "flops") == ""
    ) is equal
    # One of ten steps is a tenth of all, and no budget is set more finely.
    read = make_arm(
        "kv", 200, student_flops=flops, real_tokens=100, teacher_tokens={"a": 100, "b": 107}
    )
    reason = explain_unequal_arms(read, make_arm("sft", 200, student_flops=2000), "flops")
    assert ("teachers read: b 1.07; a plan reckons with" in reason) is not equal
    coarse = make_arm("kv", 10, student_flops=flops)
    assert explain_unequal_arms(coarse, make_arm("sft", 10, student_flops=2000), "flops") == ""


def test_times_on_a_processor_that_nobody_knows_are_equal_to_nothing() -> None:
    kv, sft = make_arm("kv", 10), make_arm("sft", 10, device="A100")
    assert "kv has no seconds on a known processor" in explain_unequal_arms(kv, sft, "time")
    same = make_arm("kv", 99, device="A100", train_s=10.4)
    assert explain_unequal_arms(same, sft, "time") == ""
    assert "apart" in explain_unequal_arms(
        make_arm("kv", 99, device="A100", train_s=12.0), sft, "time"
    )


def test_the_view_is_the_questions_or_that_of_the_derived_budget() -> None:
    arms = {label: make_arm(label, 10) for label in ("sft", "more", "kv")}
    question = QuestionRecords(name="q", text="", arms=arms, matched={"more": "kv"})
    views = {
        pair: choose_view(arms[pair[0]], arms[pair[1]], question)
        for pair in (("kv", "more"), ("more", "kv"), ("kv", "sft"), ("more", "sft"))
    }
    assert list(views.values()) == ["flops", "flops", "steps", "steps"]
    timed = QuestionRecords(name="q", text="", arms=arms, match="time")
    assert choose_view(arms["kv"], arms["sft"], timed) == "time"
    assert choose_view(arms["kv"], arms["sft"], None) == "steps"


def test_an_arm_with_the_flops_of_another_is_no_outlier_of_steps() -> None:
    arms = {
        "sft": make_arm("sft", 10, sequences=10), "kv": make_arm("kv", 10, sequences=10),
        "more": make_arm("more", 27, sequences=27),
    }  # fmt: skip
    runs = {run.identity: run for arm in arms.values() for run in arm.runs.values()}

    def parity(matched: dict[str, str]) -> Any:
        question = QuestionRecords(name="q", text="", arms=arms, matched=matched)
        study = Study(
            name="s", folders=[], tasks=[], questions={"q": question}, runs=runs, references={}
        )
        return check_budget_parity(study)

    assert parity({}).equal is False
    assert parity({"more": "kv"}).equal is True
    assert "1 arm equal in another view" in parity({"more": "kv"}).text


@pytest.mark.usefixtures("undrawn")
def test_an_undeclared_rate_is_red_on_the_page_and_in_every_file(tmp_path: Path) -> None:
    rate = {
        "multi": {
            "train": {
                "lr": 0.01,
                "weight_decay": 0.0,
                "lr_scheduler_type": "cosine",
                "max_grad_norm": 1.0,
                "bf16": False,
            }
        }
    }
    primary = {"primary": {"arm": "multi", "baseline": "sft"}}
    folder = write_unequal_study(
        tmp_path, settings=rate, judged=primary, tasks={"nano_logic": 30, "nano_truth": 30}
    )
    page = build_report([folder], folder / "report", FAST).read_text()
    assert '<span class="off">undeclared differences</span>' in page
    assert page.index('id="undeclared"') < page.index('id="verdicts"')
    assert "multi cannot be compared with sft. Undeclared differences: sft and" in page
    assert "Undeclared differences: sft and multi differ in train.lr" in page
    line = "train.lr: 0.001 vs 0.01"
    assert line in (folder / "report/significance.txt").read_text()
    records = json.loads((folder / "report/significance.json").read_text())
    contrast = records["questions"]["baselines"]["contrasts"]["multi"]["differs"]
    assert [each["field"] for each in contrast if not each["declared"]] == ["train.lr"]
    (claim,) = json.loads((folder / "report/verdicts.json").read_text())["claims"]
    assert claim["verdict"] == "pending"
    assert line in claim["measured"]["why"]
