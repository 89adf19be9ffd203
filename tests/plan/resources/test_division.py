"""What does not fit a GPU is refused with the overrides with which it fits, and they hold."""

from pathlib import Path
from typing import Any

import pytest

SWEEPS = Path(__file__).parents[3] / "sweeps"
pytestmark = pytest.mark.usefixtures("hydra")
SMALL = ("scale=paper", "references=false", "estimate.kind=a100-40gb")


def plan_configs(*overrides: str) -> tuple[list[Any], Any]:
    """(configs of the trained runs, the estimate group)."""
    from kvdistill.config.schema import read_group
    from kvdistill.plan.expand import expand_command

    plan = expand_command([["stage=plan", *overrides]], SWEEPS)
    estimate = read_group("estimate", plan.config["estimate"])
    return [run.config for run in plan.runs.values() if run.config["trained"]], estimate


def test_what_does_not_fit_is_refused_with_what_does() -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.plan.resources.division import check_memory, propose_division

    configs, estimate = plan_configs(*SMALL, "arm=multi_teacher")
    assert estimate.usable_bytes is not None
    division = propose_division(configs, estimate.usable_bytes)
    assert division
    with pytest.raises(ConfigError, match=r"budget.batch_size=32 with .* needs .* GiB") as refused:
        check_memory(configs, estimate)
    assert " ".join(division) in str(refused.value)
    check_memory(*plan_configs(*SMALL, "arm=multi_teacher", *division))


def test_a_division_keeps_every_identity() -> None:
    from kvdistill.plan.identity import run_identity
    from kvdistill.plan.resources.division import propose_division

    configs, estimate = plan_configs(*SMALL, "arm=multi_teacher")
    assert estimate.usable_bytes is not None
    division = propose_division(configs, estimate.usable_bytes)
    assert division
    divided, _ = plan_configs(*SMALL, "arm=multi_teacher", *division)
    assert [run_identity(each) for each in divided] == [run_identity(each) for each in configs]


@pytest.mark.integration
def test_one_division_serves_all_arms_of_a_command() -> None:
    from kvdistill.plan.resources.division import propose_division
    from kvdistill.plan.resources.run_memory import estimate_run_memory

    configs, estimate = plan_configs(*SMALL, "sweep=treatments")
    assert estimate.usable_bytes is not None
    division = propose_division(configs, estimate.usable_bytes)
    assert division is not None
    divided, _ = plan_configs(*SMALL, "sweep=treatments", *division)
    assert all(estimate_run_memory(each).total <= estimate.usable_bytes for each in divided)


def test_what_no_division_fits_says_so() -> None:
    from kvdistill.plan.resources.division import describe_shortage

    tiny = ("estimate.memory_gib.a100-40gb=12",)
    shortage = describe_shortage(*plan_configs(*SMALL, *tiny, "arm=sft"))
    assert shortage is not None
    assert "No division of these arms together fits" in shortage
    assert "source=store" not in shortage


def test_of_a_cpu_nothing_is_said() -> None:
    from kvdistill.plan.resources.division import describe_shortage

    assert describe_shortage(*plan_configs("references=false")) is None


def test_the_students_states_are_divided_before_teachers_leave_the_gpus() -> None:
    from kvdistill.plan.resources.division import check_memory, propose_division

    arm = (*SMALL, "arm=multi_teacher", "teachers=three")
    configs, estimate = plan_configs(*arm)
    assert estimate.usable_bytes is not None
    division = propose_division(configs, estimate.usable_bytes)
    assert division is not None
    assert "train.norm_steps=0" in division
    assert not any("offload" in each for each in division)
    check_memory(*plan_configs(*arm, *(each.strip("'") for each in division)))
