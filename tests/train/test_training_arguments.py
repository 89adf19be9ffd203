"""The arguments of a run, and its tracker."""

from pathlib import Path
from typing import Any

import pytest


def test_a_tracker_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from kvdistill.errors import ConfigError
    from kvdistill.train import training_arguments

    monkeypatch.setattr(training_arguments, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"train\.report_to=wandb needs the package wandb"):
        training_arguments.check_tracker("wandb")
    with pytest.raises(ConfigError, match=r"train\.report_to=paper is no tracker"):
        training_arguments.check_tracker("paper")
    training_arguments.check_tracker("none")


@pytest.mark.parametrize(
    ("bf16", "deepspeed", "half"),
    [
        (False, None, False),
        (True, None, True),
        (False, {"torch_autocast": {"enabled": False}}, False),
        (False, {"torch_autocast": {"enabled": True}}, True),
    ],
)
def test_autocast_is_on_where_the_trained_forward_has_it(
    tmp_path: Path, bf16: bool, deepspeed: dict[str, Any] | None, half: bool
) -> None:
    import torch
    from transformers import TrainingArguments

    from kvdistill.train.training_arguments import make_autocast

    args = TrainingArguments(output_dir=str(tmp_path), bf16=bf16, use_cpu=True, report_to="none")
    args.deepspeed = deepspeed  # given at once it would start DeepSpeed
    with make_autocast(args):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if half else torch.float32)
