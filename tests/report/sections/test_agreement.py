"""What K and V agree with stands beside the same with another text's teacher, by name."""

from pathlib import Path

from kvdistill.report.sections.agreement import tabulate_agreement
from kvdistill.report.table import DASH
from kvdistill.stats.study import Arm, Run

TEACHERS = {"a": {"name": "big"}, "b": {"name": "other"}}


def make_arm(label: str, *ledgers: dict, teachers: dict = TEACHERS) -> Arm:
    runs = {
        seed: Run(
            identity=f"{label}{seed}", folder=Path(label), arm=label, seed=seed, trained=True,
            manifest={"ledger": ledger}, config={"teachers": teachers},
        )
        for seed, ledger in enumerate(ledgers)
    }  # fmt: skip
    return Arm(label=label, runs=runs)


def make_ledger(own: float | None, other: float) -> dict:
    fit = {"held_out_r2": 0.4, "shuffled_r2": 0.1}
    after = {"held_out_r2": own, "shuffled_r2": other, "layers": {}}
    return {"projection": {"a": fit, "b": fit}, "agreement": after}


def read_rows(*arms: Arm) -> list[list[str]]:
    table = tabulate_agreement({arm.label: arm for arm in arms})
    return [[cell.text for cell in row] for row in table.rows]


def test_means_over_seeds_stand_beside_their_control():
    rows = read_rows(make_arm("kv", make_ledger(0.5, -0.2), make_ledger(0.7, 0.0)))
    assert rows == [
        ["kv", "big, before", "0.400", "0.100", "0.300"],
        ["kv", "other, before", "0.400", "0.100", "0.300"],
        ["kv", "fused target, after", "0.600", "\u22120.100", "0.700"],
    ]


def test_what_a_run_lacks_is_a_dash_and_an_arm_without_kv_has_no_row():
    rows = read_rows(make_arm("kv", make_ledger(None, 0.0)), make_arm("sft", {}))
    assert rows[-1][2:] == [DASH, "0.000", DASH]
    assert len(rows) == 3
