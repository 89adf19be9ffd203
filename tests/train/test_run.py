"""The order in which a run reads its texts."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("hydra")
LENGTHS = [(7 * place) % 40 + 1 for place in range(100)]


def read_order(*overrides: str) -> list[int]:
    """Places of a whole run's texts."""
    from kvdistill.config.compose import compose
    from kvdistill.data.collate import TextDataset
    from kvdistill.train.run import make_sampler

    known = {"__init__": lambda _: None, "byte_lengths": LENGTHS, "__len__": lambda _: len(LENGTHS)}
    texts = type("Known", (TextDataset,), known)()
    return list(make_sampler(compose(["budget.batch_size=8", *overrides]), texts, 12))


def sum_length_ranges(places: list[int]) -> int:
    """How far lengths lie apart within a global batch of 8, summed."""
    batches = [places[at : at + 8] for at in range(0, len(places), 8)]
    return sum(max(LENGTHS[i] for i in b) - min(LENGTHS[i] for i in b) for b in batches)


def test_grouped_texts_of_a_batch_are_alike_in_length() -> None:
    plain, grouped = read_order(), read_order("train.group_by_length=true")
    assert len(plain) == len(grouped) == 96
    assert sum_length_ranges(grouped) < sum_length_ranges(plain) / 3


@pytest.mark.parametrize("group", ["true", "false"])
def test_every_arm_reads_in_the_same_order_however_the_batch_is_divided(group: str) -> None:
    given = f"train.group_by_length={group}"
    first = read_order(given)
    assert read_order(given, "arm=sft") == first
    assert read_order(given, "budget.batch_size=2", "budget.grad_accum=4") == first
    assert read_order(given, "seed=7") != first


def test_grouping_is_another_run_and_no_grouping_is_the_run_it_was() -> None:
    from kvdistill.config.compose import compose
    from kvdistill.plan.identity import run_identity, science_of

    plain, grouped = compose([]), compose(["train.group_by_length=true"])
    assert run_identity(plain) != run_identity(grouped)
    assert "group_by_length" not in science_of(plain)["train"]


def test_the_report_reads_the_last_validation_as_training_writes_it(tmp_path: Path) -> None:
    from kvdistill import layout
    from kvdistill.stats.claims.validation_texts import parse_validation_texts
    from kvdistill.train.run import write_text_losses
    from kvdistill.train.validation import TextLosses

    losses = TextLosses(["a:cot", "a:direct", "b:cot"], [2.0, 4.0, 6.0], [1, 2, 3])
    losses.nmse = {"kv_nmse": [0.5, None, 1.5]}
    write_text_losses(losses, "abc", tmp_path)
    texts = parse_validation_texts(tmp_path / layout.VALIDATION_TEXTS)
    assert (texts.digest, texts.rows.tolist()) == ("abc", [0, 0, 1])
    assert texts.compute_value("ce") == 2.0
    assert texts.compute_value("kv_nmse") == 1.0
