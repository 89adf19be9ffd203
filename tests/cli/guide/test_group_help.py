"""`--help GROUP`: each choice with its fields, and what is said beside them."""

from pathlib import Path

import pytest

from kvdistill.cli.help import describe_group_page
from kvdistill.errors import ConfigError

ROOT = Path(__file__).parents[3]


def test_a_groups_choices_and_fields_stand_with_their_comments():
    page = describe_group_page(ROOT, "projection")
    assert page.startswith("projection: from a teacher's width")
    assert "* ridge: Ridge regression on calibration rows" in page
    (line,) = (line for line in page.splitlines() if line.strip().startswith("rank:"))
    assert (
        line.split("  ")[-1].strip()
        == "components of a layer's keys over all heads, and of its values"
    )
    assert "_target_" not in page


def test_a_nested_group_is_named_and_has_a_page_of_its_own():
    assert "See also: --help loss/tokens" in describe_group_page(ROOT, "loss")
    assert "k: 16" in describe_group_page(ROOT, "loss/tokens")


@pytest.mark.parametrize("group", [p.name for p in (ROOT / "conf").iterdir() if p.is_dir()])
def test_every_group_has_a_page_that_names_its_choices(group):
    page = describe_group_page(ROOT, group)
    for path in (ROOT / "conf" / group).glob("*.yaml"):
        assert f" {path.stem}:" in page


def test_what_is_no_group_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"--help lossy is no group\. Choose one of adapter, "):
        describe_group_page(ROOT, "lossy")
