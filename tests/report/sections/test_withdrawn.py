"""The table of what was withdrawn, and the page around it."""

from pathlib import Path

import pytest

from kvdistill.plan.labels.withdrawal import withdraw_runs
from kvdistill.report.build import build_report
from kvdistill.report.sections.withdrawn import tabulate_withdrawn
from kvdistill.stats.load import load_study
from tests.stats import fake

PRIMARY = {"q": {"primary": {"arm": "arm", "baseline": "base"}}}


def write_study(root: Path) -> Path:
    levels = {"base": 0.0, "arm": 0.2, "third": 0.1}
    return fake.write_study(root, {"q": levels}, tasks={"one": 30}, judged=PRIMARY)


def test_a_row_has_the_reason_and_the_scores_that_were_left_out(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    arm = load_study([study]).questions["q"].arms["arm"]
    means = [run.get_score("macro", ["one"]) or 0.0 for run in arm.runs.values()]
    withdraw_runs(tmp_path, study, "a bug", label="arm")
    records = load_study([study])
    (row,) = tabulate_withdrawn(records).rows
    texts = [cell.text for cell in row]
    assert texts[:3] == ["arm", "q", "42, 43, 44"]
    assert texts[3] == "3 of 3 finished"
    assert [cell.mark for cell in row].index("hash") == 4
    assert texts[5] == f"{100 * sum(means) / 3:.1f}"
    assert texts[6] == records.withdrawn[0].time[:10]
    assert texts[7] == "a bug"


@pytest.mark.usefixtures("undrawn")
@pytest.mark.integration
def test_the_page_names_it_and_makes_no_other_comparison_primary(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    withdraw_runs(tmp_path, study, "a <b>bug</b>", label="arm")
    page = build_report([study], study / "report").read_text()
    assert '<section id="withdrawn">' in page
    assert "a &lt;b&gt;bug&lt;/b&gt;" in page
    assert "No primary comparison: arm was withdrawn on" in page
    assert (study / "report/tables/withdrawn.csv").read_text().count("\narm,q,") == 1


@pytest.mark.usefixtures("undrawn")
@pytest.mark.integration
def test_a_study_without_withdrawals_has_no_such_section(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    assert 'id="withdrawn"' not in build_report([study], study / "report").read_text()


def test_every_run_is_listed_by_all_its_labels_and_withdrawn_ones_too(tmp_path: Path) -> None:
    from kvdistill.report.sections.provenance import make_provenance
    from kvdistill.stats.settings import Settings

    levels = {"base": 0.0, "arm": 0.2}
    study = fake.write_study(tmp_path, {"q": levels, "p": levels}, tasks={"one": 30})
    withdraw_runs(tmp_path, study, "a bug", label="arm")
    rows = make_provenance(load_study([study]), Settings()).runs.rows
    states = {row[0].text: row[3].text for row in rows}
    assert states == {"base": "done", "arm": "withdrawn"}
