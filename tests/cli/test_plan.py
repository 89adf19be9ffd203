"""What a plan is reckoned for: the kinds of device that its scale is for."""

from pathlib import Path

import pytest

from kvdistill.cli.plan import tabulate_totals
from kvdistill.config.schema import read_group
from kvdistill.estimate.run_cost import Cost
from kvdistill.plan.expand import expand_command

SWEEPS = Path(__file__).parents[2] / "sweeps"


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize(
    ("scale", "kinds"),
    [("nano", {"cpu-core"}), ("paper", {"a100-40gb", "a100-80gb", "h100-80gb", "h200-141gb"})],
)
def test_a_plan_has_a_row_for_each_kind_of_device_that_its_scale_is_for(scale, kinds):
    plan = expand_command([[f"scale={scale}", "stage=plan"]], SWEEPS)
    estimate = read_group("estimate", plan.config["estimate"])
    table = tabulate_totals(plan, Cost(), estimate)
    assert set(table.columns[0].cells) == kinds
