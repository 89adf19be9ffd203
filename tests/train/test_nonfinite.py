"""Numbers that are none, and disks that are full: one clear line, and nothing lost."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.train.runs import assert_same_weights

Make = Callable[..., Any]


def spoil_training(monkeypatch: pytest.MonkeyPatch, what: str, step: int, value: float) -> None:
    """From that step on one weight of layer 1, or its gradient, is `value` after the backward."""
    from kvdistill.train.trainer import DistillTrainer

    training_step = DistillTrainer.training_step

    def spoiled_step(self: Any, *arguments: Any, **named: Any) -> Any:
        loss = training_step(self, *arguments, **named)
        if self.state.global_step + 1 >= step:
            weight = self.module.student.model.layers[1].mlp.up_proj.weight
            (weight.grad if what == "gradient" else weight.data)[0, 0] = value
        return loss

    monkeypatch.setattr(DistillTrainer, "training_step", spoiled_step)


@pytest.mark.integration
@pytest.mark.parametrize(("value", "clip"), [(float("nan"), 1.0), (float("inf"), 0.0)])
def test_a_gradient_that_is_none_stops_the_run_before_the_step(
    trained: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    value: float,
    clip: float,
) -> None:
    from kvdistill.errors import UserError
    from kvdistill.train.checkpoint import find_newest

    spoil_training(monkeypatch, "gradient", 4, value)
    where = r"at step 4, first in the gradient of student\.model\.layers\.1\.mlp\.up_proj\.weight"
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(UserError, match=rf"norm is {value} {where} \(rows \d+, .* and 8 more"),
    ):
        trained(name="run", save_steps=1, accumulate=4, max_grad_norm=clip)
    assert caplog.messages[-1].count(",") == 15  # every row of the step
    assert (
        find_newest(tmp_path / "run/checkpoints", {}).folder
        == tmp_path / "run/checkpoints/checkpoint-3"
    )


@pytest.mark.integration
def test_a_loss_that_is_none_names_the_weight(
    trained: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.errors import UserError

    spoil_training(monkeypatch, "weight", 2, float("nan"))
    where = r"weight student\.model\.layers\.1\.mlp\.up_proj\.weight"
    with pytest.raises(UserError, match=rf"the loss is nan at step 3, first in the {where}"):
        trained(teachers=(), save_steps=100)


@pytest.mark.integration
def test_weights_that_are_none_are_never_saved(
    trained: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kvdistill.errors import UserError
    from kvdistill.train.checkpoint import list_checkpoints

    spoil_training(monkeypatch, "weight", 2, float("inf"))
    with pytest.raises(UserError, match=r"weights are not finite at step 2, first in the weight"):
        trained(teachers=(), name="run", save_steps=1)
    assert [path.name for path in list_checkpoints(tmp_path / "run/checkpoints")] == [
        "checkpoint-1"
    ]


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("student", "output of model.layers.1.mlp.down_proj"),
        ("teacher", "target K of student layer 0"),
    ],
)
def test_a_loss_that_is_none_names_where_it_began(distiller: Make, part: str, says: str) -> None:
    import torch

    from kvdistill.train import nonfinite
    from tests.train.conftest import make_batch

    module = distiller()
    if part == "student":
        down = module.student.model.layers[1].mlp.down_proj
        down.register_forward_hook(lambda _, __, out: out * float("nan"))
    else:
        with torch.no_grad():
            module._teachers["b"].body.layers[0].self_attn.k_proj.weight.fill_(float("nan"))
    assert says in nonfinite.find_cause(module, make_batch())


@pytest.mark.integration
def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(
    trained: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from kvdistill.errors import UserError
    from kvdistill.train.checkpoint import find_newest, list_checkpoints

    save, writes = torch.save, []

    def save_or_fill_disk(value: Any, path: str, **named: Any) -> None:
        writes.append(path)
        # /dev/full answers as a full disk does, from the kernel itself.
        save(value, "/dev/full" if len(writes) == 6 else path, **named)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save_or_fill_disk)
        with pytest.raises(UserError, match=r"checkpoint-2 could not be written .*bytes are free"):
            trained(teachers=(), name="full", save_steps=1)
    checkpoints = tmp_path / "full/checkpoints"
    assert [path.name for path in list_checkpoints(checkpoints)] == ["checkpoint-1"]
    assert find_newest(checkpoints, {}).folder == checkpoints / "checkpoint-1"
    assert_same_weights(
        trained(teachers=(), save_steps=1), trained(teachers=(), name="full", save_steps=1)
    )
