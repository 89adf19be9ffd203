"""Claims about times and memory: one kind of processor, on record, and three seeds."""

from pathlib import Path

import pytest

from kvdistill.stats.claims.machine_measures import measure_efficiency
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, Run

SETTINGS = Settings(resamples=999)
A100, CPU = "NVIDIA A100", "a CPU, 2 threads"


def make_arm(label: str, seconds, device: str | None = A100, seed: int = 42, **manifest) -> Arm:
    runs = {}
    for place, value in enumerate(seconds):
        run = Run(identity=f"{label}{place}", folder=Path(label), arm=label, seed=seed + place,
                  trained=True)  # fmt: skip
        run.efficiency = {"train_s": value, "steps": 30, "peak_bytes": 100 + place + len(label)}
        run.manifest = {"ledger": {"device": device} if device else {}, **manifest}
        runs[run.seed] = run
    return Arm(label=label, runs=runs)


def test_times_on_one_kind_of_processor_compare() -> None:
    arm, baseline = make_arm("arm", [60, 61, 62]), make_arm("base", [100, 99, 101])
    measured = measure_efficiency(arm, baseline, "train_s", SETTINGS)
    assert measured.low < measured.estimate < measured.high < -30
    assert measured.why == "t interval over 3 seeds on NVIDIA A100"


@pytest.mark.parametrize("key", ["train_s", "peak_bytes", "an_older_runs_time"])
@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"device": "NVIDIA H100"}, "more than one kind of processor: NVIDIA A100 (arm, seed 42);"),
        ({"device": None}, "no processor on record of base, seed 42"),
        ({"ranks": 2}, "2 x NVIDIA A100 (base, seed 42)"),
    ],
)
def test_times_of_other_processors_do_not(key, other, says) -> None:
    arm, baseline = make_arm("arm", [60, 61, 62]), make_arm("base", [100, 99, 101], **other)
    measured = measure_efficiency(arm, baseline, key, SETTINGS)
    assert measured.estimate is None
    assert says in measured.why


def test_one_seed_that_was_continued_elsewhere_is_enough_to_refuse() -> None:
    arm, baseline = make_arm("arm", [60, 61, 62]), make_arm("base", [100, 99, 101])
    baseline.runs[43].manifest = {"ledger": {"device": f"{A100} and then {CPU}"}}
    assert "and then" in measure_efficiency(arm, baseline, "train_s", SETTINGS).why


def test_two_seeds_are_described() -> None:
    arm, baseline = make_arm("arm", [60, 61]), make_arm("base", [100, 99])
    measured = measure_efficiency(arm, baseline, "train_s", SETTINGS)
    assert measured.low is None
    assert measured.why.startswith("descriptive: an interval over new seeds needs 3")


def test_a_count_needs_no_processor_and_other_seeds_no_pairs() -> None:
    arm, baseline = make_arm("arm", [1, 1, 1], None), make_arm("base", [1, 1, 1], None)
    assert measure_efficiency(arm, baseline, "steps", SETTINGS).estimate == 0
    later = make_arm("base", [100, 99, 101], seed=142)
    measured = measure_efficiency(make_arm("arm", [60, 61, 62]), later, "train_s", SETTINGS)
    assert measured.high < -30


def test_what_is_not_there_is_named() -> None:
    arm, baseline = make_arm("arm", [60, None, 62]), make_arm("base", [100, 99, 101])
    why = measure_efficiency(arm, baseline, "train_s", SETTINGS).why
    assert why == "missing: train_s of arm, seed 43"
