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
from kvdistill.stats.load import load_study
from kvdistill.stats.settings import Settings
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
