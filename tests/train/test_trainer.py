"""The trainer on texts of different lengths, so that a mean of means would show."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import Dataset

from tests.train.conftest import batch

Make = Callable[..., Any]
STEPS = 4


class Rows(Dataset):  # type: ignore[type-arg]
    """Row i is a text of its own length and words."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> int:
        return index


def collate(names: tuple[str, ...]) -> Callable[[list[int]], Any]:
    """A batch of rows, whatever the rows it comes with."""
    import torch

    from kvdistill.types import Batch, Links, Reading, Tokens

    def join(parts: list[Any]) -> Any:
        return Tokens(
            *(
                torch.cat([getattr(part, field) for part in parts])
                for field in ("ids", "mask", "answer")
            )
        )

    def chained(parts: list[Links]) -> Links:
        done, count = [], 0
        for row, part in enumerate(parts):
            done.append((part.teacher + row * part.teacher_seq, part.weight, part.offsets + count))
            count += len(part.teacher)
        columns = [torch.cat(column) for column in zip(*done, strict=True)]
        return Links(*columns, parts[0].student_seq, parts[0].teacher_seq)

    def make(rows: list[int]) -> Any:
        each = [batch(names, lengths=(4 + row % 5,), more=8 - row % 5, seed=row) for row in rows]
        readings = {
            name: Reading(
                join([one.teachers[name].tokens for one in each]),
                chained([one.teachers[name].links for one in each]),
            )
            for name in names
        }
        return Batch(
            join([one.student for one in each]), readings, [str(r) for r in rows], ["t"] * len(rows)
        )

    return make


@pytest.fixture
def trained(distiller: Make, tmp_path: Path) -> Make:
    """Trains and returns the trainer; each call is a run in a folder of its own."""

    def run(*overrides: str, teachers: tuple[str, ...] = ("a", "b"), **changes: Any) -> Any:
        import torch

        from kvdistill.data.order import Stream
        from kvdistill.train.curves import Curves
        from kvdistill.train.trainer import DistillTrainer, arguments

        name = changes.pop("name", f"run{len(list(tmp_path.iterdir()))}")
        size, accumulate = changes.pop("size", 4), changes.pop("accumulate", 1)
        evaluate, resume = changes.pop("evaluate", 100), changes.pop("resume", None)
        seed, stop = changes.pop("seed", 5), changes.pop("stop", None)
        module = distiller(f"seed={seed}", *overrides, teachers=teachers)
        train = {
            "lr": 0.01, "weight_decay": 0.01, "warmup_ratio": 0.25, "lr_scheduler_type": "cosine",
            "max_grad_norm": 1.0, "bf16": False,
            "logging_steps": 1, "eval_steps": evaluate, "save_steps": 2,
        } | changes  # fmt: skip
        budget = {"batch_size": size, "grad_accum": accumulate}
        config = {"train": train, "budget": budget, "seed": seed}
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        trainer = DistillTrainer(
            module,
            arguments(config, STEPS, folder),
            Rows(),
            Stream(64, STEPS * size * accumulate, seed),
            collate(teachers),
            [collate(teachers)([60, 61, 62])],
            Curves(folder),
            progress=(
                lambda step, _: (_ for _ in ()).throw(KeyboardInterrupt) if step == stop else None
            ),
        )
        torch.manual_seed(99)  # what came before must not matter
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    return run


def weights(trainer: Any) -> dict[str, Any]:
    return {name: p.detach().clone() for name, p in trainer.module.named_parameters()}


def same(one: Any, other: Any, **tolerance: float) -> None:
    import torch

    first, second = weights(one), weights(other)
    for name, value in first.items():
        if tolerance:
            torch.testing.assert_close(second[name], value, **tolerance)
        else:
            assert torch.equal(second[name], value), name


@pytest.mark.parametrize("overrides", [(), ("fusion=learnable", "projection=linear")])
def test_the_same_seed_twice_gives_the_same_bits(trained: Make, overrides: tuple[str, ...]) -> None:
    same(trained(*overrides), trained(*overrides))


def test_another_seed_gives_other_bits(trained: Make) -> None:
    import torch

    one, other = weights(trained(seed=0)), weights(trained(seed=1))
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("teachers", [(), ("a", "b")])
def test_eight_times_one_equals_one_times_eight(trained: Make, teachers: tuple[str, ...]) -> None:
    whole = trained(teachers=teachers, size=8, accumulate=1)
    parts = trained(teachers=teachers, size=1, accumulate=8)
    # Sums in another order, through four AdamW steps at a rate of 0.01.
    same(whole, parts, rtol=1e-3, atol=1e-4)
    lines = [logged(one)[0] for one in (whole, parts)]
    assert lines[0]["loss"] == pytest.approx(lines[1]["loss"], rel=1e-5)
    assert lines[0]["ce"] == pytest.approx(lines[1]["ce"], rel=1e-5)


def logged(trainer: Any) -> list[dict[str, Any]]:
    import json

    return [json.loads(line) for line in trainer.curves.path.read_text().splitlines()]


def test_validating_on_the_way_changes_no_bit(trained: Make) -> None:
    with_dropout = ("fusion=learnable", "fusion.teacher_dropout=0.5")
    often, never = trained(*with_dropout, evaluate=1), trained(*with_dropout, evaluate=100)
    same(often, never)
    assert sum(line["split"] == "val" for line in logged(often)) == STEPS


def test_a_run_stopped_and_resumed_ends_in_the_same_bits(trained: Make) -> None:
    overrides = ("fusion=learnable", "projection=linear")
    whole = trained(*overrides)
    with pytest.raises(KeyboardInterrupt):
        trained(*overrides, name="stopped", stop=3)
    resumed = trained(*overrides, name="stopped", resume=True)
    same(whole, resumed)


def test_fine_tuning_and_distilling_read_the_same_texts(trained: Make) -> None:
    def read(**how: Any) -> list[str]:
        trainer = trained(**how)
        return list(trainer.stream)

    assert read(teachers=()) == read()


def test_kv_weight_zero_is_fine_tuning(trained: Make) -> None:
    plain = trained(teachers=())
    control = trained("loss.kv_weight=0", "loss.entropy_weight=0")
    same(plain, control)


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_rows(trained: Make) -> None:
    from kvdistill.errors import UserError

    with pytest.raises(UserError, match=r"the loss is nan at step \d+ \(rows "):
        trained(teachers=(), lr=float("inf"))


def test_rooms_have_a_rate_of_their_own(distiller: Make) -> None:
    module = distiller("projection=linear", "projection.lr_scale=0.5")
    groups = module.groups(lr=0.1, weight_decay=0.01)
    assert [group.get("lr") for group in groups] == [None, None, 0.05, 0.05]
    assert sum(len(g["params"]) for g in groups) == len(list(module.parameters()))
