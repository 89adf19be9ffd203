"""Runs of one arm that several versions of the code have made are no arm."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.files import read_json, read_sealed, write_json, write_sealed
from kvdistill.plan.code.fingerprint import UNKNOWN_CODE
from kvdistill.stats.analysis import analyse_study
from kvdistill.stats.load import load_study
from kvdistill.stats.settings import Settings
from tests.stats.fake import write_study

STEP = "kvdistill.train.step"


def write_study_of_codes(root: Path, codes: list[dict[str, Any] | None]) -> Path:
    """A study of one question whose arm `kv` has a seed a code; its other arm has the last."""
    study = write_study(root, {"q": {"sft": 0.0, "kv": 0.2}}, seeds=range(len(codes)))
    plan = read_json(study / "plan.json")
    for entry in plan["runs"].values():
        path = root / entry["folder"] / "manifest.json"
        code = codes[entry["seed"]] if entry["arm"] == "kv" else codes[-1]
        write_sealed(path, read_sealed(path) | ({"code": code} if code else {}))
    return study


def make_code(version: str, **more: Any) -> dict[str, Any]:
    return {"modules": {STEP: version, "kvdistill.train.run": "1"}, **more}


def describe(study: Path) -> tuple[str, str]:
    """(cell of the table, status and reason) of the arm's average."""
    analysis = analyse_study(load_study([study]), Settings(resamples=999))["q"]
    macro = analysis.comparisons["kv"].macro
    return analysis.table.rows["kv"]["macro"].text(), f"{macro.status}: {macro.why}"


def test_seeds_of_two_codes_are_neither_pooled_nor_compared(tmp_path: Path) -> None:
    study = write_study_of_codes(tmp_path, [make_code("1"), make_code("2"), make_code("2")])
    cell, comparison = describe(study)
    assert cell.endswith("missing one code for all runs: train.step")
    assert comparison == "missing: kv: one code for all runs: train.step"


def test_what_was_accepted_is_pooled_and_said(tmp_path: Path) -> None:
    study = write_study_of_codes(tmp_path, [make_code("1"), make_code("2"), make_code("2")])
    plan = read_json(study / "plan.json")
    plan["accepted_code"] = [{"versions": {STEP: ["1", "2"]}, "runs": [], "time": "2026"}]
    write_json(study / "plan.json", plan)
    cell, comparison = describe(study)
    assert "missing" not in cell
    assert comparison.startswith("ok")
    contrast = (
        analyse_study(load_study([study]), Settings(resamples=999))["q"].comparisons["kv"].contrast
    )
    assert "other versions of train.step, accepted with code=accept" in " ".join(map(str, contrast))


def test_a_run_that_other_code_began_is_of_two_codes(tmp_path: Path) -> None:
    begun = make_code("2", earlier=[{STEP: "1"}])
    cell, _ = describe(write_study_of_codes(tmp_path, [begun, make_code("2"), make_code("2")]))
    assert "one code for all runs: train.step" in cell


@pytest.mark.parametrize("unknown", [0, 2])
def test_a_run_of_unknown_code_is_not_pooled_with_known_ones(tmp_path: Path, unknown: int) -> None:
    codes: list[dict[str, Any] | None] = [make_code("1")] * 3
    codes[unknown] = None
    cell, _ = describe(write_study_of_codes(tmp_path, codes))
    assert f"one code for all runs: {UNKNOWN_CODE}" in cell


def test_a_study_from_before_code_was_recorded_is_read(tmp_path: Path) -> None:
    cell, comparison = describe(write_study_of_codes(tmp_path, [None, None, None]))
    assert "missing" not in cell
    assert comparison.startswith("ok")
