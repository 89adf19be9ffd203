"""Teachers under DeepSpeed's ZeRO-3 on two gloo ranks: the same K and V, the same training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.zero3_ranks import CASES
from tests.train.test_division import assert_same_lines, set_training

pytestmark = pytest.mark.integration

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of two ranks, and of the same training by one process."""
    import torch
    from hydra import initialize_config_dir

    from tests.models import zero3_ranks
    from tests.train import ranks
    from tests.train.conftest import composed_config

    folder = tmp_path_factory.mktemp("sharded")
    root = Path(__file__).parents[2]
    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        config = set_training(composed_config("fusion=similarity", "compression=kava"))
    zero3_ranks.save_teachers(folder)
    torch.multiprocessing.spawn(zero3_ranks.run_rank, args=(config, str(folder)), nprocs=2)
    reference = ranks.train_division(
        config,
        folder / "plain",
        ("a", "b"),
        1,
        8,
        1,
        zero3_ranks.make_request_builder(folder, "none"),
    )
    torch.save(reference, folder / "whole.pt")
    return folder


def load_results(folder: Path, rank: int) -> dict[Any, Any]:
    """What `zero3_ranks.run_rank` measured on a rank, by case."""
    import torch

    results: dict[Any, Any] = torch.load(folder / f"seen{rank}.pt", weights_only=False)
    return results


@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_k_and_v_are_the_plain_models_to_the_bit(sharded: Path, case: tuple[str, ...]) -> None:
    assert [load_results(sharded, rank)[case][0] for rank in range(2)] == [0.0, 0.0]


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_each_rank_holds_half_of_what_is_read(sharded: Path, case: tuple[str, ...]) -> None:
    partitions = [load_results(sharded, rank)[case][1] for rank in range(2)]
    for one in partitions:
        assert 0.5 <= one["here"] / one["whole"] < 0.55  # vectors stay whole
        assert one["layers"] == 3
        assert not any("layers.2.mlp" in name or name == "norm.weight" for name in one["names"])
        assert one["optimizer"] == "DeepSpeedZeRoOffload"


def test_a_model_loaded_afterwards_is_whole(sharded: Path) -> None:
    assert load_results(sharded, 0)["student"] == {False}


def test_two_engines_beside_a_ddp_student_train_it_alike(sharded: Path) -> None:
    import torch

    both = [torch.load(sharded / f"trained{rank}.pt") for rank in range(2)]
    reference = torch.load(sharded / "whole.pt")
    for name, value in reference["weights"].items():
        assert torch.equal(both[0]["weights"][name], both[1]["weights"][name])
        torch.testing.assert_close(both[0]["weights"][name], value, rtol=1e-3, atol=1e-4)
    assert_same_lines(sharded / "sharded", sharded / "plain")


def test_the_first_steps_loss_is_the_single_process_ones(sharded: Path) -> None:
    lines = [
        map(json.loads, (sharded / name / "curves.jsonl").read_text().splitlines())
        for name in ("sharded", "plain")
    ]
    first = [next(line for line in each if line["split"] == "train") for each in lines]
    assert first[0]["step"] == first[1]["step"] == 1
    assert first[0]["kv"] > 0
    assert first[0]["loss"] == pytest.approx(first[1]["loss"], rel=1e-5)
