"""How fast arms trained, beside what their plans foretold."""

from pathlib import Path
from typing import Any

from kvdistill.report.sections.speed import summarize_speed, tabulate_speed
from kvdistill.report.table import DASH
from kvdistill.stats.study import Arm, Run

SECONDS = {"student": 1.0, "teachers": 0.5, "rooms": 0.1, "data": 0.2, "optimizer": 0.2}


def make_arm(label: str, *rates: dict[str, Any]) -> Arm:
    runs = {}
    for seed, rate in enumerate(rates):
        speed = {"step_s": 2.0, "seconds": SECONDS, "real_share": 0.9, "mfu": None} | rate
        ledger = {"peak_bytes": 3 * 2**30} | ({"speed": speed} if rate else {})
        runs[seed] = Run(
            identity=f"{label}{seed}", folder=Path(label), arm=label, seed=seed, trained=True,
            manifest={"ledger": ledger}, foretold={"peak_bytes": 2 * 2**30, "step_s": 1.5},
        )  # fmt: skip
    return Arm(label=label, runs=runs)


def read_row(arm: Arm) -> dict[str, str]:
    table = tabulate_speed({arm.label: arm})
    (row,) = table.rows
    return dict(zip(table.columns, (cell.text for cell in row), strict=True))


def test_measured_and_foretold_stand_side_by_side() -> None:
    row = read_row(make_arm("kv", {"tokens_per_s": 100.0}, {"tokens_per_s": 200.0}))
    assert (row["tokens/s a process"], row["step, s"], row["rooms, s"]) == ("150", "2", "0.1")
    assert (row["peak GiB"], row["foretold GiB"], row["foretold step, s"]) == ("3", "2", "1.5")
    assert row["MFU, %"] == DASH, "not known is not 0"


def test_a_sentence_has_the_range_and_says_where_there_is_no_mfu() -> None:
    arms = {"kv": make_arm("kv", {"tokens_per_s": 100.0}, {"tokens_per_s": 200.0})}
    sentence = summarize_speed(arms)
    assert "100 to 200 real tokens a second" in sentence
    assert "MFU n/a" in sentence
    assert "the rooms between the models took 5 % of a step" in sentence
    measured = {"kv": make_arm("kv", {"tokens_per_s": 100.0, "mfu": 0.35})}
    assert "MFU 35 %" in summarize_speed(measured)


def test_runs_from_before_it_was_measured_have_no_row() -> None:
    arms = {"kv": make_arm("kv", {})}
    assert tabulate_speed(arms).rows == []
    assert summarize_speed(arms) == ""
