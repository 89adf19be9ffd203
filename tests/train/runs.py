"""Texts of different lengths to train on, and what a trained run is compared by."""

from collections.abc import Callable
from typing import Any

from torch.utils.data import Dataset

from tests.train.conftest import make_batch

STEPS = 4


class Rows(Dataset):  # type: ignore[type-arg]
    """Row i is a text of its own length and words."""

    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> int:
        return index


def make_collator(names: tuple[str, ...], packing: Any = None) -> Callable[[list[int]], Any]:
    """A batch of rows, whatever the rows it comes with."""
    import torch

    from kvdistill.data.collate import Collator
    from kvdistill.types import Batch, Links, TeacherInputs, Tokens

    def join_tokens(parts: list[Any]) -> Any:
        return Tokens(
            *(
                torch.cat([getattr(part, field) for part in parts])
                for field in ("ids", "mask", "answer")
            )
        )

    def join_links(parts: list[Links]) -> Links:
        done, count = [], 0
        for row, part in enumerate(parts):
            done.append(
                (part.teacher_rows + row * part.teacher_seq, part.weight, part.offsets + count)
            )
            count += len(part.teacher_rows)
        columns = [torch.cat(column) for column in zip(*done, strict=True)]
        return Links(*columns, parts[0].student_seq, parts[0].teacher_seq)

    def collate_rows(rows: list[int]) -> Any:
        each = [
            make_batch(names, lengths=(4 + row % 5,), more=8 - row % 5, seed=row) for row in rows
        ]
        teachers = {
            name: TeacherInputs(
                join_tokens([one.teachers[name].tokens for one in each]),
                join_links([one.teachers[name].links for one in each]),
            )
            for name in names
        }
        batch = Batch(
            join_tokens([one.student for one in each]),
            teachers,
            [str(r) for r in rows],
            ["t"] * len(rows),
        )
        if packing is None:
            return batch
        return Collator(0, dict.fromkeys(names, 0)).pack_batch(batch, packing)

    return collate_rows


def copy_weights(trainer: Any) -> dict[str, Any]:
    return {name: p.detach().clone() for name, p in trainer.module.named_parameters()}


def assert_same_weights(one: Any, other: Any, **tolerance: float) -> None:
    import torch

    first, second = copy_weights(one), copy_weights(other)
    for name, value in first.items():
        if tolerance:
            torch.testing.assert_close(second[name], value, **tolerance)
        else:
            assert torch.equal(second[name], value), name


def read_lines(trainer: Any) -> list[dict[str, Any]]:
    import json

    return [json.loads(line) for line in trainer.curves.path.read_text().splitlines()]
