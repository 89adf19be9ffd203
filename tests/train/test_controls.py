"""The control arms: what each takes away, on the path of the arm that it controls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.conftest import make_batch
from tests.train.runs import assert_same_weights

pytestmark = pytest.mark.integration

Make = Callable[..., Any]
ROOT = Path(__file__).parents[2]


def test_ce_only_ends_in_the_weights_of_fine_tuning(trained: Make) -> None:
    assert_same_weights(trained(teachers=()), trained("arm=ce_only"))


@pytest.mark.parametrize("compression", ["keep_last", "r_kv", "kava", "random", "uniform"])
@pytest.mark.parametrize("arm", ["random_kv", "shuffled_teacher", "wrong_layers"])
def test_a_control_compares_the_student_with_something_else(
    distiller: Make, arm: str, compression: str
) -> None:
    import torch

    true, control = (
        distiller(f"compression={compression}", *given)(make_batch())[1]
        for given in ((), (f"arm={arm}",))
    )
    assert control.kv.isfinite()
    assert not torch.allclose(control.keys, true.keys, rtol=0.01)


def test_padding_changes_nothing_under_a_control(distiller: Make) -> None:
    import torch

    for arm in ("random_kv", "shuffled_teacher"):
        module = distiller(f"arm={arm}")
        distances = [
            module(b)[1].kv for b in (make_batch(), make_batch(more=3), make_batch(more=3, pad=17))
        ]
        torch.testing.assert_close(distances[1], distances[0])
        torch.testing.assert_close(distances[2], distances[0])


@pytest.mark.parametrize("compression", ["r_kv", "kava"])
def test_texts_of_one_row_teach_nothing_when_shuffled(distiller: Make, compression: str) -> None:
    from dataclasses import replace

    module = distiller("arm=shuffled_teacher", f"compression={compression}")
    terms = module(replace(make_batch(), ids=["a:cot", "a:direct"]))[1]
    assert terms.kv == 0


@pytest.mark.parametrize(
    ("arm", "override"),
    [
        ("ce_only", "loss.kv_weight=1.0"),
        ("random_kv", "source=online"),
        ("shuffled_teacher", "source=online"),
        ("wrong_layers", "layers/map=proportional"),
    ],
)
def test_an_override_that_undoes_a_control_is_refused(
    composed: Make, arm: str, override: str
) -> None:
    from kvdistill.errors import ConfigError

    with pytest.raises(ConfigError, match=f"contradicts arm={arm}, which fixes"):
        composed(f"arm={arm}", override)


@pytest.mark.usefixtures("hydra")
def test_a_control_is_another_run_on_the_same_calibration() -> None:
    from kvdistill.plan.expand import expand_command

    plan = expand_command([["sweep=controls"]], ROOT / "sweeps")
    arms = plan.questions["controls"].arms
    first = {label: plan.runs[seeds["42"]] for label, seeds in arms.items()}
    assert len({run.identity for run in first.values()}) == len(first) == 6
    needs = {
        label: {k: v for k, v in run.node.needs.items() if k.startswith("calibration")}
        for label, run in first.items()
    }
    assert needs["multi_teacher"] == needs["random_kv"] == needs["shuffled_teacher"]
    assert needs["wrong_layers"] != needs["multi_teacher"]


@pytest.mark.usefixtures("hydra")
def test_aa_is_the_recipe_of_multi_teacher_with_other_seeds() -> None:
    from kvdistill.plan.expand import expand_command

    plan = expand_command([["arm=multi_teacher"]], ROOT / "sweeps")
    again = expand_command([["sweep=aa"]], ROOT / "sweeps")
    (one,) = (run for run in plan.runs.values() if run.config["trained"])
    more = [run for run in again.runs.values() if run.config["trained"]]
    assert {run.recipe for run in more} == {one.recipe}
    assert one.identity not in again.runs
    assert len(more) == 3
