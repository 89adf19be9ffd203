"""Any two finished runs, from any study, become the two arms of a question."""

import pytest

from kvdistill.errors import ConfigError
from kvdistill.plan.find_runs import find_finished_run
from kvdistill.report.compare_runs import make_comparison
from kvdistill.stats.analysis import analyse_study
from kvdistill.stats.arm_differences import describe_contrast
from kvdistill.stats.load import load_study
from kvdistill.stats.settings import Settings
from tests.stats import fake

TASKS = {"one": 60, "two": 40}


@pytest.fixture
def root(tmp_path):
    for name, level in (("a", 0.0), ("b", 2.0)):
        fake.write_study(tmp_path, {"q": {name: level}}, name=name, seeds=(7,), tasks=TASKS)
    return tmp_path


def read_identities(root):
    return [next((root / f"runs/{n}/runs").iterdir()).name.rpartition("-")[2] for n in "ab"]


def test_two_runs_of_two_studies_are_compared_item_by_item(root):
    one, other = read_identities(root)
    study = load_study([make_comparison(root, [one, other])])
    (analysis,) = analyse_study(study, Settings(resamples=999)).values()
    assert analysis.baseline.startswith("a ")
    (comparison,) = analysis.comparisons.values()
    assert comparison.arm.startswith("b ")
    assert comparison.macro.estimate > 0.1
    assert comparison.macro.item.low > 0
    assert comparison.differences["one"].mcnemar < 0.05
    assert comparison.macro.recipe is None  # one run each says nothing about recipes
    assert "fusion: a vs b" in describe_contrast(comparison.contrast)


def test_a_run_is_found_by_its_folder_or_its_identity(root):
    one, _ = read_identities(root)
    by_identity = find_finished_run(root, one, "report.runs")
    assert by_identity == find_finished_run(root, f"seed7-{one}", "report.runs")


def test_what_is_no_finished_run_is_refused_with_those_that_are(root):
    one, _ = read_identities(root)
    with pytest.raises(ConfigError, match=rf"report.runs=zzz is no finished run .*seed7-{one}"):
        make_comparison(root, [one, "zzz"])
    with pytest.raises(ConfigError, match="at least two different runs"):
        make_comparison(root, [one, one])
    assert not list((root / "runs").glob("compared-*"))
