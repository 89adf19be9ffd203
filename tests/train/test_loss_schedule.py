"""The terms' weights follow how far training is, in steps, curves and validation alike."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from kvdistill.errors import ConfigError

Make = Callable[..., Any]


@pytest.mark.integration
def test_kv_is_trained_first_and_cross_entropy_afterwards(trained: Make) -> None:
    # Four steps: two before the half, two from it on.
    run = trained("loss/schedule=kv_first", evaluate=4)
    lines = [json.loads(line) for line in run.curves.path.read_text().splitlines()]
    steps = {line["step"]: line for line in lines if line["split"] == "train"}
    for step, line in steps.items():
        first = step <= 2
        expected = (line["kv"] if first else 0.5 * line["ce"]) - 0.01 * line["entropy"]
        assert line["loss"] == pytest.approx(expected, rel=1e-5)
        assert line["kv_weighted"] == pytest.approx(line["kv"] if first else 0.0)
    begin, end = (line for line in lines if line["split"] == "val")
    assert begin["loss"] == pytest.approx(begin["kv"] - 0.01 * begin["entropy"])
    assert end["loss"] == pytest.approx(0.5 * end["ce"] - 0.01 * end["entropy"])
    weighted = [sum(each["kv_weighted"] for each in at["layers"].values()) for at in (begin, end)]
    assert weighted == pytest.approx([begin["kv"], 0.0])


@pytest.mark.integration
def test_a_resumed_run_goes_on_as_one_that_never_stopped(trained: Make) -> None:
    whole = trained("loss/schedule=linear")
    with pytest.raises(KeyboardInterrupt):
        trained("loss/schedule=linear", name="halved", stop=2)
    resumed = trained("loss/schedule=linear", name="halved")
    texts = [each.curves.path.read_text().splitlines() for each in (whole, resumed)]
    for one, other in zip(*texts, strict=True):
        assert json.loads(one)["loss"] == json.loads(other)["loss"]


def test_without_a_schedule_the_weights_are_the_stated_ones(distiller: Make) -> None:
    module = distiller()
    for module.progress in (0.0, 0.3, 1.0):
        assert module.current_weights == module.weights


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss/balance=decay"], r"loss/balance=decay would both change"),
        (["teachers=none", "loss.kv_weight=0"], r"loss\.schedule weighs .* teachers=none"),
        (["arm=sft"], r"loss/schedule=kv_first contradicts arm=sft"),
        (["loss.schedule.share=1.5"], r"loss\.schedule\.share=1\.5 must be above 0"),
        (["loss.ce_weight=0"], r"nothing to train after 50 % of the steps"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(
    composed: Make, overrides: list[str], message: str
) -> None:
    from kvdistill.train.objective import LossWeights

    with pytest.raises(ConfigError, match=message):
        LossWeights.from_config(composed("loss/schedule=kv_first", *overrides))
