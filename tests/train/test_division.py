"""One global batch, divided over ranks or micro-batches: the same rows, the same training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Any]
TEACHERS = ("a", "b")
ARMS = {(): (), TEACHERS: ("fusion=learnable", "projection=linear")}


def training(config: dict[str, Any]) -> dict[str, Any]:
    train = {
        "lr": 0.01, "weight_decay": 0.01, "warmup_ratio": 0.25, "lr_scheduler_type": "cosine",
        "max_grad_norm": 1.0, "bf16": False, "gradient_checkpointing": False,
        "logging_steps": 1, "eval_steps": 2, "save_steps": 2,
    }  # fmt: skip
    return config | {"train": config["train"] | train}


@pytest.mark.timeout(300)
def test_two_ranks_train_as_one_process_does(composed: Make, tmp_path: Path) -> None:
    import torch

    from tests.train import ranks

    configs = {
        names: training(composed(*overrides, teachers=names)) for names, overrides in ARMS.items()
    }
    torch.multiprocessing.spawn(ranks.divided, args=(configs, str(tmp_path)), nprocs=2)
    for number, (names, config) in enumerate(configs.items()):
        whole = ranks.division(config, tmp_path / f"whole{number}", names, 1, 8, 1)
        parts = ranks.division(config, tmp_path / f"parts{number}", names, 1, 4, 2)
        both = [torch.load(tmp_path / f"two{number}-rank{rank}.pt") for rank in range(2)]
        together = [sorted(a + b) for a, b in zip(*(one["steps"] for one in both), strict=True)]
        assert together == [sorted(step) for step in whole["steps"]]
        assert together == [sorted(step) for step in parts["steps"]]
        assert [len(set(step)) for step in together] == [8] * 4
        assert sum(one["sequences"] for one in both) == whole["sequences"] == 32
        for name, value in whole["weights"].items():
            assert torch.equal(both[0]["weights"][name], both[1]["weights"][name])
            torch.testing.assert_close(both[0]["weights"][name], value, rtol=1e-3, atol=1e-4)
        same_lines(tmp_path / f"two{number}", tmp_path / f"whole{number}")


def same_lines(one: Path, other: Path) -> None:
    """The curves of rank 0 are those of the whole batch, each line once."""
    first, second = (
        [json.loads(line) for line in (at / "curves.jsonl").read_text().splitlines()]
        for at in (one, other)
    )
    assert [(line["step"], line["split"]) for line in first] == [
        (line["step"], line["split"]) for line in second
    ]
    for line, wanted in zip(first, second, strict=True):
        # Four AdamW steps at a rate of 0.01 apart.
        names = {"loss", "ce", "kv", "k", "v", "entropy"} & wanted.keys()
        assert {n: line[n] for n in names} == pytest.approx({n: wanted[n] for n in names}, rel=1e-4)
