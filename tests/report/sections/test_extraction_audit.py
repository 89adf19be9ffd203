"""Whether a result hangs on the extractor."""

import pytest

from kvdistill.report.sections import extraction_audit, robustness
from tests.report.small_studies import make_run, make_scores, make_study, read_row


@pytest.mark.parametrize(
    ("ours", "theirs", "depends"),
    [
        ((0.5, 0.5), (0.25, 0.25), False),
        ((0.5, 0.25), (0.25, 0.5), True),
        ((0.5, 0.25), (0.25, 0.25), True),  # a gain under one reading is a tie under the other
        ((0.25, 0.25), (0.25, 0.25), False),
    ],
)
def test_a_sign_depends_on_the_extractor_when_the_two_disagree(ours, theirs, depends):
    records, analysis = make_study(
        make_run("base", make_scores("g", *theirs)), make_run("arm", make_scores("g", *ours))
    )
    grid = extraction_audit.tabulate_by_task(analysis, records.tasks)
    shown = read_row(grid, "arm", "g")["difference under both"]
    assert shown.endswith("depends") is depends
    assert f"; {int(depends)} signs" in grid.caption


def test_the_share_of_answers_that_one_reading_alone_takes_for_right_is_shown():
    base = make_run("base", make_scores("g", 0.5, 0.5, disagree=0.25))
    arm = make_run("arm", make_scores("g", 0.5, 0.25, disagree=0.5))
    records, analysis = make_study(base, arm)
    grid = extraction_audit.tabulate_by_task(analysis, ["g"])
    # Equal scores hide that different answers are right.
    assert read_row(grid, "base", "g")["readings differ"] == "25.0 %"
    grid = extraction_audit.tabulate_by_arm(records, {"arm": analysis.question.arms["arm"]})
    assert read_row(grid, "arm")["readings differ"] == "50.0 %"


def test_letters_have_no_second_reading_and_the_baseline_no_difference():
    base, arm = (
        make_run("base", make_scores("c", 0.5)),
        make_run("arm", make_scores("c", 0.75, unparsed=0.25)),
    )
    grid = extraction_audit.tabulate_by_task(make_study(base, arm)[1], ["c"])
    assert read_row(grid, "arm", "c")["other extractor"] == "\u2014"
    assert read_row(grid, "arm", "c")["difference under both"] == "\u2014"
    assert read_row(grid, "arm", "c")["no answer found"] == "25.0 %"
    assert read_row(grid, "base", "c")["difference under both"] == "\u2014"


def test_an_arm_that_lacks_a_task_is_named_and_averaged_over_nothing():
    records, _ = make_study(
        make_run("base", make_scores("g", 0.5), make_scores("h", 0.5)),
        make_run("arm", make_scores("g", 1.0, truncated=1.0)),
    )
    assert (
        "missing"
        in read_row(extraction_audit.tabulate_by_arm(records, records.distinct_arms()), "arm")[
            "no answer found"
        ]
    )
    weights = robustness.tabulate_weightings(records, records.distinct_arms())
    assert read_row(weights, "arm")["average"] == "\u2014"
    assert read_row(weights, "base")["average"] == "50.0"
