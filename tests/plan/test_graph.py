"""Which artefacts a run needs, and what names them."""

import pytest

pytestmark = pytest.mark.usefixtures("hydra")


def nodes(*overrides: str):
    from kvdistill.config.compose import compose
    from kvdistill.plan.graph import artifacts

    return dict(artifacts(compose(list(overrides))))


def test_every_run_needs_its_split_checked_before_anything_else() -> None:
    for arm in ("raw_student", "sft", "multi_teacher"):
        found = nodes(f"arm={arm}")
        assert list(found)[:2] == ["split", "validation"]
        assert found["validation"].needs == {"split": found["split"].name}


def test_arms_and_seeds_share_a_check() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.graph import run

    configs = [compose([f"arm={arm}", f"seed={seed}"]) for arm in ("sft", "multi_teacher")
               for seed in (1, 2)]  # fmt: skip
    assert len({run(config)[0].needs["validation"] for config in configs}) == 1


@pytest.mark.parametrize(
    "override",
    ["data.source.seed=1", "data.leakage.near=drop", "tasks=quick", "train.calibration_rows=8"],
)
def test_what_changes_the_sets_is_checked_anew(override: str) -> None:
    assert nodes(override)["validation"].name != nodes()["validation"].name


def test_calibration_rows_are_of_no_interest_where_nothing_is_trained() -> None:
    one, other = (
        nodes("arm=raw_student", f"train.calibration_rows={n}")["validation"] for n in (8, 9)
    )
    assert one == other
    assert one.recipe["calibration_rows"] is None


@pytest.mark.parametrize("override", ["tasks.data_root=/elsewhere", "data.validate_only=true"])
def test_execution_names_no_check(override: str) -> None:
    assert nodes(override)["validation"].name == nodes()["validation"].name
