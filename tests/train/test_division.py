"""One global batch, divided over ranks or micro-batches: the same rows, the same training."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.train.forked_ranks import compute_on_two_ranks

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
TEACHERS = ("a", "b")
ROOMS = ("fusion=learnable", "projection=linear")
ARMS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "sft": ((), (), "default"),
    "kv": (TEACHERS, ROOMS, "default"),
    "kv_zero2": (TEACHERS, ROOMS, "zero2"),
}


def set_training(config: dict[str, Any]) -> dict[str, Any]:
    train = {
        "lr": 0.01, "weight_decay": 0.01, "warmup_ratio": 0.25, "lr_scheduler_type": "cosine",
        "max_grad_norm": 1.0, "bf16": False, "gradient_checkpointing": False,
        "logging_steps": 1, "eval_steps": 2, "save_steps": 2,
    }  # fmt: skip
    return config | {"train": config["train"] | train}


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every arm trained on two ranks, and (but ZeRO-2) by one process."""
    import torch
    from hydra import initialize_config_dir

    from tests.train import ranks
    from tests.train.conftest import composed_config

    folder = tmp_path_factory.mktemp("divided")
    configs = {}
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for label, (names, overrides, train) in ARMS.items():
            two = (f"train={train}", "budget.num_gpus=2", "budget.batch_size=32")
            configs[label] = names, set_training(composed_config(*overrides, *two, teachers=names))
    compute_on_two_ranks(
        lambda rank: ranks.train_on_two_ranks(rank, configs, folder), folder / "ranks", seconds=600
    )
    for label in ("sft", "kv"):
        names, config = configs[label]
        for name, division in (("whole", (1, 8, 1)), ("parts", (1, 4, 2))):
            outcome = ranks.train_division(config, folder / f"{label}-{name}", names, *division)
            torch.save(outcome, folder / f"{label}-{name}.pt")
    return folder


def load_ranks(folder: Path, label: str) -> list[dict[str, Any]]:
    import torch

    return [torch.load(folder / f"{label}-rank{rank}.pt") for rank in range(2)]


def load_single(folder: Path, label: str, name: str = "whole") -> dict[str, Any]:
    import torch

    outcome: dict[str, Any] = torch.load(folder / f"{label}-{name}.pt")
    return outcome


@pytest.mark.timeout(900)
@pytest.mark.parametrize("label", ["sft", "kv"])
def test_a_step_reads_the_same_rows_however_it_is_divided(divided: Path, label: str) -> None:
    both = load_ranks(divided, label)
    together = [sorted(a + b) for a, b in zip(*(one["steps"] for one in both), strict=True)]
    for name in ("whole", "parts"):
        assert together == [sorted(step) for step in load_single(divided, label, name)["steps"]]
    assert [len(set(step)) for step in together] == [8] * 4
    assert sum(one["sequences"] for one in both) == load_single(divided, label)["sequences"] == 32


@pytest.mark.parametrize("label", list(ARMS))
def test_two_ranks_train_as_one_process_does(divided: Path, label: str) -> None:
    import torch

    both, single = load_ranks(divided, label), label.removesuffix("_zero2")
    for name, value in load_single(divided, single)["weights"].items():
        assert torch.equal(both[0]["weights"][name], both[1]["weights"][name])
        torch.testing.assert_close(both[0]["weights"][name], value, rtol=1e-3, atol=1e-4)
    assert_same_lines(divided / label, divided / f"{single}-whole")


@pytest.mark.parametrize("label", ["kv", "kv_zero2"])
def test_two_ranks_stopped_and_resumed_end_in_the_same_bits(divided: Path, label: str) -> None:
    import torch

    whole, again = load_ranks(divided, label)[0], load_ranks(divided, f"{label}-again")[0]
    assert whole["weights"].keys() == again["weights"].keys()
    for name, value in whole["weights"].items():
        assert torch.equal(again["weights"][name], value), name


def test_what_is_planted_in_a_zero2_checkpoint_is_refused_and_not_run(divided: Path) -> None:
    import torch

    for rank in range(2):
        message = torch.load(divided / f"planted-rank{rank}.pt")
        assert "checkpoints/checkpoint-4 is not read: its state asks for" in message
        assert "mkdir" in message
        assert "\n" not in message
    assert not (divided / "kv_zero2-again/ran").exists()


def test_zero2_divides_the_optimisers_states(divided: Path) -> None:
    import torch

    (latest,) = (divided / "kv_zero2/checkpoints/checkpoint-4").glob("global_step*")
    states = sorted(latest.glob("*_optim_states.pt"))
    assert len(states) == 2
    moments = [
        torch.load(path, weights_only=False)["optimizer_state_dict"]["base_optimizer_state"][
            "state"
        ]
        for path in states
    ]
    held = sum(part["exp_avg"].numel() for rank in moments for part in rank.values())
    trained = sum(x.numel() for x in load_single(divided, "kv")["weights"].values())
    assert trained <= held < 1.1 * trained  # padded to divide evenly


def assert_same_lines(one: Path, other: Path) -> None:
    """The curves of rank 0 are those of the whole batch, each line once."""
    first, second = (
        [json.loads(line) for line in (at / "curves.jsonl").read_text().splitlines()]
        for at in (one, other)
    )
    assert [(line["step"], line["split"]) for line in first] == [
        (line["step"], line["split"]) for line in second
    ]
    for line, whole_line in zip(first, second, strict=True):
        # Four AdamW steps at a rate of 0.01 apart.
        names = {"loss", "ce", "kv", "k", "v", "entropy"} & whole_line.keys()
        assert {n: line[n] for n in names} == pytest.approx(
            {n: whole_line[n] for n in names}, rel=1e-4
        )
