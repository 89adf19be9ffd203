"""Teachers under DeepSpeed's ZeRO-3 on two gloo ranks: the same K and V, the same training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.zero3_ranks import CASES
from tests.train.answers.test_logit_terms import ALONE
from tests.train.forked_ranks import compute_on_two_ranks
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
        logits = composed_config(*ALONE, "logits/teachers=averaged")
    zero3_ranks.save_teachers(folder)
    compute_on_two_ranks(
        lambda rank: zero3_ranks.run_rank(rank, config, folder, logits),
        folder / "ranks",
        seconds=600,
    )
    plain = dict.fromkeys("ab", "none")
    whole = zero3_ranks.compare_answers(logits, zero3_ranks.make_answer_batch(), folder, plain)
    torch.save(whole, folder / "answers.pt")
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


def test_sharded_teachers_logits_loss_and_gradient_are_the_plain_models(sharded: Path) -> None:
    import torch

    for rank in range(2):
        divided, plain = torch.load(sharded / f"answers{rank}.pt")
        for name in ("a", "b", "tokens", "total"):
            assert torch.equal(divided[name], plain[name])
        for name, gradient in plain["gradients"].items():
            assert torch.equal(divided["gradients"][name], gradient)


def test_two_ranks_logits_and_loss_are_those_of_one(sharded: Path) -> None:
    import torch

    parts = [torch.load(sharded / f"answers{rank}.pt")[0] for rank in range(2)]
    whole = torch.load(sharded / "answers.pt")
    for name in ("a", "b", "tokens"):
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), whole[name])
    torch.testing.assert_close(sum(part["total"] for part in parts), whole["total"])
    assert whole["total"] > 0
    for name, gradient in whole["gradients"].items():
        added = sum(part["gradients"][name] for part in parts)
        torch.testing.assert_close(added, gradient, rtol=1e-4, atol=1e-6)


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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_over_nodes_weights_are_gathered_within_each(tmp_path: Path) -> None:
    import torch

    from kvdistill.cluster.forkserver import find_free_port
    from tests.models import hpz_ranks, zero3_ranks

    zero3_ranks.save_teachers(tmp_path)
    torch.multiprocessing.spawn(
        hpz_ranks.run_rank, args=(str(tmp_path), find_free_port()), nprocs=4
    )
    for rank in range(4):
        differences, gathers, (whole, part, second) = torch.load(tmp_path / f"hpz{rank}.pt")
        assert differences == [0.0, 0.0, 0.0]
        assert set(gathers) == {2}
        assert (part, second) == (whole // 4, whole // 2)


@pytest.mark.parametrize(
    ("here", "ranks", "expected"),
    [("8", "8", None), ("8", "16", 8), ("1", "4", None), ("3", "8", None), ("", "", None)],
)
def test_only_several_even_nodes_hold_second_parts(
    here: str, ranks: str, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from torch import bfloat16

    from kvdistill.models.zero3 import build_deepspeed_config, count_ranks_per_node

    for name, value in (("LOCAL_WORLD_SIZE", here), ("WORLD_SIZE", ranks)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    assert count_ranks_per_node() == expected
    config = build_deepspeed_config(bfloat16, 8, offload=False, ranks_per_node=expected)
    read = DeepSpeedZeroConfig(**config["zero_optimization"])
    assert read.zero_hpz_partition_size == (expected or 1)
