"""How the page names an arm that several questions have."""

from kvdistill.report.sections.content import list_failure_reasons, shorten_label
from kvdistill.stats.study import Arm
from tests.report.small_studies import make_run


def test_a_legend_has_the_first_label_and_how_many_more() -> None:
    axis = "kv fusion.weights=[0.1, 0.9]"
    assert shorten_label(Arm(label=axis, runs={}, labels=[axis])) == axis
    assert shorten_label(Arm(label="a, b, c", runs={}, labels=["a", "b", "c"])) == "a (+2)"


def test_a_failure_is_told_once_with_the_runs_that_it_stopped() -> None:
    lost = [make_run(name, state="failed", error="no split") for name in ("a", "b")]
    arms = {run.arm: Arm(label=run.arm, runs={0: run}) for run in [*lost, make_run("c")]}
    assert list(list_failure_reasons(arms)) == ["a, seed 0; b, seed 0: no split"]
