"""A report is a look: it is on record before the page is made, which then counts it."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.errors import ArtifactError
from kvdistill.history import read_history
from kvdistill.report import study_report
from tests.stats import fake


def test_a_report_is_recorded_as_a_look_before_its_page_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = fake.write_study(tmp_path, {"q": {"a": 0.0}}, tasks={"one": 20})
    looks: list[int] = []

    def build(*_: Any) -> Path:
        looks.append(len(read_history(tmp_path).select("nano", "looked")))
        return tmp_path

    monkeypatch.setattr(study_report, "build_report", build)
    monkeypatch.setattr(study_report, "make_terminal_tables", lambda _: [])
    monkeypatch.setattr(study_report, "write_budget", lambda *_: [])
    for _ in range(2):
        study_report.write_study_report(tmp_path, study, {"confidence": 0.95})
    assert looks == [1, 1]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.integration
def test_a_report_is_whole_before_a_run_that_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_report, "write_budget", lambda *_: [])
    study = fake.write_study(tmp_path, {"q": {"a": 0.0, "b": 0.0}}, tasks={"one": 20})
    run = sorted((study / "runs").iterdir())[0]
    (run / "results.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"leaves out what it cannot read\..*results\.json"):
        study_report.write_study_report(tmp_path, study, {"confidence": 0.95})
    page = (study / "report/index.html").read_text(encoding="utf-8")
    assert f"no number of {run.name} is read" in page


def test_another_process_gets_what_is_printed_and_what_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(root: Path, study: Path, stats: Any, console: Any) -> None:
        console.print(f"{root} {study} {stats} {console.width} {console.is_terminal}")
        raise ArtifactError("results.json is cut")

    monkeypatch.setattr(study_report, "write_study_report", write)
    request = {"root": "a", "study": "a/b", "stats": {}, "width": 60, "terminal": True}
    assert study_report.make_study_report(request) == {
        "printed": "a a/b {} 60 True\n",
        "fault": "results.json is cut",
    }
    assert capsys.readouterr().out == ""
