"""The figure that a question names, where it has nothing to show yet."""

import pytest

from kvdistill.report.build import build_report
from kvdistill.report.sections.ablations import PAINTERS
from tests.stats import fake


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("figure", PAINTERS)
def test_a_question_of_which_every_run_failed_is_reported_without_its_figure(figure, tmp_path):
    study = fake.write_study(
        tmp_path,
        {"ask": {"a": 0.0, "b": 0.1}},
        untrained=(),
        unfinished=[(arm, seed) for arm in ("a", "b") for seed in (42, 43, 44)],
        judged={"ask": {"figure": figure}},
    )
    page = build_report([study], tmp_path / "report").read_text(encoding="utf-8")
    assert 'id="q-ask"' in page
    assert not list((tmp_path / "report/figures").glob("ask_*"))
