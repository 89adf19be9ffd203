"""How the page names an arm that several questions have."""

from kvdistill.report.sections.content import shorten_label
from kvdistill.stats.study import Arm


def test_a_legend_has_the_first_label_and_how_many_more() -> None:
    axis = "kv fusion.weights=[0.1, 0.9]"
    assert shorten_label(Arm(label=axis, runs={}, labels=[axis])) == axis
    assert shorten_label(Arm(label="a, b, c", runs={}, labels=["a", "b", "c"])) == "a (+2)"
