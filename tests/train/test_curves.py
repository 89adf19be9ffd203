"""Balance and the curves of the KV terms, on the trainer's own path."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.train.conftest import make_batch
from tests.train.runs import assert_same_weights, read_lines

Make = Callable[..., Any]
BALANCED = ("loss/balance=gradient_norm", "loss.balance.every=1", "loss.balance.momentum=0.5")


@pytest.mark.integration
def test_the_factor_is_part_of_a_checkpoint(trained: Make) -> None:
    whole = trained(*BALANCED)
    with pytest.raises(KeyboardInterrupt):
        trained(*BALANCED, name="stopped", stop=3)
    resumed = trained(*BALANCED, name="stopped", resume=True)
    assert_same_weights(whole, resumed)
    balance, again = (run.module.objective.balance for run in (whole, resumed))
    assert balance.factor == again.factor != 1


def test_balanced_terms_pull_equally_on_the_mapped_weights(distiller: Make) -> None:
    import torch

    from kvdistill.loss.gradient_norm import measure_gradient_norm

    module = distiller(*BALANCED, "layers.range=1-3")
    ce, terms, *_ = module(make_batch())
    mapped = module.list_kv_parameters()
    own = {id(p): name for name, p in module.student.named_parameters()}
    names = {own[id(p)].removeprefix("model.layers.").rsplit(".", 1)[0] for p in mapped}
    assert names == {f"{n}.self_attn.{part}_proj" for n in (1, 2) for part in "kv"}
    factor = module.objective.balance(ce, terms.kv, mapped, 0)
    torch.testing.assert_close(
        measure_gradient_norm(factor * terms.kv, mapped), measure_gradient_norm(ce, mapped)
    )


@pytest.mark.integration
def test_curves_tell_raw_and_weighted_terms_by_layer(trained: Make) -> None:
    run = trained("loss.kv_weight=3", "kv.values=2", evaluate=2)
    lines = read_lines(run)
    for line in lines:
        if line["split"] == "train":
            assert line["kv_weighted"] == pytest.approx(3 * line["kv"])
            continue
        layers = line["layers"]
        assert list(layers) == ["0", "1", "2"]
        assert sum(layer["kv_weighted"] for layer in layers.values()) == pytest.approx(
            3 * line["kv"], rel=1e-5
        )
        for name in ("k", "v"):
            mean = sum(layer[name] for layer in layers.values()) / 3
            assert mean == pytest.approx(line[name], rel=1e-5)
        one = layers["1"]
        assert one["kv_weighted"] == pytest.approx(3 * (one["k"] + 2 * one["v"]) / 3 / 3, rel=1e-5)


@pytest.mark.integration
def test_the_curves_are_still_a_table(trained: Make) -> None:
    from kvdistill.stats.curves import read_curves

    table = read_curves(trained(evaluate=2).curves.path)
    assert table.loc[table["split"] == "val", "kv"].notna().all()
