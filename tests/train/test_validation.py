"""Validation divided among ranks, and in the training's arithmetic."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.train.forked_ranks import compute_on_two_ranks
from tests.train.runs import make_collator

Make = Callable[..., Any]

EVEN = ([1, 2, 3], [4, 5, 6])
UNEVEN = ([1, 2, 3], [4, 5, 6], [7, 8])
SINGLE = ([1, 2, 3],)
PLAIN = ("fusion=similarity",)


def make_batches(
    module: Any, rows: Sequence[Sequence[int]], names: tuple[str, ...] = ("a", "b")
) -> list[Any]:
    """Batches of two tasks; the first text of each is right, and the last of all has no answer."""
    batches = []
    for some in rows:
        batch = make_collator(names)(list(some))
        if some == rows[-1]:  # before anything asks for its labels, which are kept
            batch.student.answer[-1] = False
        write_greedy_answer(module, batch, 0)
        batches.append(replace(batch, tasks=["even" if row % 2 == 0 else "odd" for row in some]))
    return batches


def write_greedy_answer(module: Any, batch: Any, row: int) -> None:
    """Makes a text's answer what the student would write."""
    import torch

    tokens = batch.student
    chosen = torch.zeros_like(tokens.label_mask)
    chosen[row] = tokens.label_mask[row]
    for _ in range(int(chosen.sum())):  # one more token is right each time
        with torch.no_grad():
            logits, _ = module.compute_logits(batch)
        best = torch.zeros_like(tokens.ids)
        best[tokens.label_mask] = logits.argmax(dim=1)
        tokens.ids[chosen] = best[chosen]


def validate(module: Any, batches: Sequence[Any]) -> dict[str, Any]:
    """All that a validation gives, and the texts of each batch that this rank has read."""
    from kvdistill.train.validation import Validation

    rows_read, compute = [], module.compute_terms

    def note_rows(batch: Any, observe: Any = None) -> Any:
        rows_read.append(batch.ids)
        return compute(batch, observe)

    module.compute_terms = note_rows
    numbers, routing, texts = Validation(batches)(module, "cpu")
    module.compute_terms = compute
    return {
        "numbers": numbers,
        "routing": {} if routing is None else routing.to_table(),
        "texts": texts.to_json(),
        "rows_read": rows_read,
    }


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of nested dicts and lists by its path."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    leaves = {}
    for key, each in items:
        at = f"{path}.{key}"
        leaves |= flatten(each, at) if isinstance(each, dict | list) else {at: each}
    return leaves


@pytest.mark.parametrize(
    ("divisions", "overrides", "names"),
    [
        ((EVEN, UNEVEN, SINGLE), PLAIN, ("a", "b")),
        ((UNEVEN,), (), ()),
        ((UNEVEN,), ("arm=random_kv", "compression=random", "compression.keep=2"), ("a", "b")),
        ((UNEVEN,), ("arm=shuffled_teacher",), ("a", "b")),
    ],
    ids=["plain", "fine_tuning", "random", "shuffled"],
)
@pytest.mark.integration
def test_two_ranks_give_the_figures_of_one(
    distiller: Make,
    tmp_path: Path,
    divisions: Sequence[Sequence[Sequence[int]]],
    overrides: tuple[str, ...],
    names: tuple[str, ...],
) -> None:
    module = distiller(*overrides, teachers=names).eval()
    each = [make_batches(module, rows, names) for rows in divisions]

    def validate_each(_: int = 0) -> list[dict[str, Any]]:
        return [validate(module, batches) for batches in each]

    alone, both = validate_each(), compute_on_two_ranks(validate_each, tmp_path)
    for batches, one, first, second in zip(each, alone, *both, strict=True):
        assert_divided(batches, one, first, second)
        assert_telling(batches, one["numbers"])
        if names:
            assert {"kv", "kv_nmse", "layers", "weight_a"} <= one["numbers"].keys()
            assert set(one["routing"]) == {"even", "odd"}


def assert_divided(
    batches: Sequence[Any], one: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Two ranks have read a share each, and give what one gives."""
    every = [batch.ids for batch in batches]
    assert one.pop("rows_read") == every
    # The last batch once more, where there is none for a rank.
    dealt = every if len(every) % 2 == 0 else [*every, every[-1]]
    assert first.pop("rows_read") == dealt[::2]
    assert second.pop("rows_read") == dealt[1::2]
    assert first == second
    rows = [row for ids in every for row in ids]
    assert one["texts"].pop("ids") == first["texts"].pop("ids") == rows
    assert flatten(first) == pytest.approx(flatten(one), rel=1e-6)


def assert_telling(batches: Sequence[Any], numbers: dict[str, Any]) -> None:
    """A text that is counted twice or left out would be seen in them."""
    answered = sum(len(batch.ids) for batch in batches) - 1
    assert numbers["exact_match"] == len(batches) / answered
    assert numbers["unanswered"] == 1


@pytest.mark.integration
def test_a_bf16_run_is_validated_in_the_arithmetic_of_its_training(trained: Make) -> None:
    import torch

    run = trained(bf16=True)
    numbers, _, texts = run.validate()
    (batch,) = run.validation.batches
    tokens = int(batch.student.label_mask.sum())
    losses = {}
    for half in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            ce, terms, _ = type(run.module).forward(run.module, batch)
        losses[half] = float(ce) / tokens, float(terms.kv)
    assert numbers["ce"] == pytest.approx(losses[True][0], rel=1e-6)
    assert numbers["kv"] == pytest.approx(losses[True][1], rel=1e-6)
    assert sum(texts.ce) / tokens == pytest.approx(losses[True][0], rel=1e-5)
    assert losses[True] != pytest.approx(losses[False], rel=1e-4)


@pytest.mark.integration
def test_a_float32_run_is_validated_in_float32(trained: Make) -> None:
    import torch

    run = trained(teachers=())
    (batch,) = run.validation.batches
    with torch.no_grad():
        ce, *_ = run.module(batch)
    assert run.validate()[0]["ce"] == pytest.approx(float(ce / batch.student.label_mask.sum()))
