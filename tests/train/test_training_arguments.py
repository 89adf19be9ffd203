"""The arguments of a run."""

from pathlib import Path
from typing import Any

import pytest


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
