"""Which validation report a study shows."""

import json
from dataclasses import replace
from pathlib import Path

from kvdistill.plan.frozen_recipe import seal_recipe
from kvdistill.plan.study_plan import Question, RunEntry, StudyPlan


def make_run(root: Path, name: str, check: str, verdict: str, trained: bool = True) -> Path:
    folder = root / "runs/s/runs" / name
    folder.mkdir(parents=True)
    frozen = {"kind": "run", "needs": {"validation": check}, "recipe": {"trained": trained}}
    (folder / "config.yaml").write_text(seal_recipe(frozen))
    artifact = root / "artifacts" / check
    artifact.mkdir(parents=True, exist_ok=True)
    (artifact / "validation_report.json").write_text(json.dumps({"verdict": verdict, "of": check}))
    return folder


def copy_and_read(root: Path, runs: list[Path]) -> str:
    from kvdistill.report.budget_table import copy_validation

    copy_validation(root, root / "runs/s", runs)
    return json.loads((root / "runs/s/validation_report.json").read_text())["of"]


def test_a_study_shows_the_check_of_its_trained_runs(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path, "a", "one", "clean"),
        make_run(tmp_path, "b", "two", "clean", trained=False),
    ]
    assert copy_and_read(tmp_path, runs) == "one"


def test_a_leak_is_shown_before_anything_else(tmp_path: Path) -> None:
    runs = [make_run(tmp_path, "a", "one", "leak"), make_run(tmp_path, "b", "two", "clean")]
    assert copy_and_read(tmp_path, runs) == "one"


def test_a_check_that_was_never_made_is_not_shown(tmp_path: Path) -> None:
    from kvdistill.report.budget_table import copy_validation

    folder = make_run(tmp_path, "a", "one", "clean")
    (tmp_path / "artifacts/one/validation_report.json").unlink()
    copy_validation(tmp_path, tmp_path / "runs/s", [folder])
    assert not (tmp_path / "runs/s/validation_report.json").exists()


def test_a_folder_that_is_gone_or_altered_is_named_and_the_others_have_their_rows(
    tmp_path: Path,
) -> None:
    from kvdistill.report.budget_table import write_budget

    entries = {}
    for name in ("whole", "gone", "altered"):
        folder = make_run(tmp_path, name, "one", "clean", trained=False)
        (folder / "manifest.json").write_text("{}")
        entries[name] = RunEntry(str(folder.relative_to(tmp_path)), name, 1, "r", False, 0)
    (tmp_path / "runs/s/runs/gone").rename(tmp_path / "runs/s/runs/old")
    entries["altered"] = replace(entries["altered"], trained=True)
    arms = {name: {"1": name} for name in entries}
    StudyPlan("s", questions={"q": Question("?", arms=arms)}, runs=entries).write(
        tmp_path / "runs/s"
    )
    gone, altered = sorted(write_budget(tmp_path, tmp_path / "runs/s"), reverse=True)
    assert gone.startswith("gone (seed 1): ")
    assert altered.startswith("altered (seed 1) has no row in the budget: ")
    rows = json.loads((tmp_path / "runs/s/budget.json").read_text())["arms"]
    assert [row["label"] for row in rows] == ["whole"]
