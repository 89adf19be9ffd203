"""Claims about `efficiency`: times and memory compare on one kind of processor, or not at all."""

from collections.abc import Iterator

import numpy as np

from kvdistill.records import COUNT, EFFICIENCY_KEYS, TIME
from kvdistill.stats.claims.curve_measures import describe_only
from kvdistill.stats.claims.measurement import Measurement, measure_log_ratio
from kvdistill.stats.combined_interval import MIN_SEEDS
from kvdistill.stats.seed_tests import paired_t_test, welch_t_test
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, Run


def measure_efficiency(arm: Arm, baseline: Arm, key: str, settings: Settings) -> Measurement:
    """Percent by which a positive number of results.json differs, by a t interval over seeds.

    Times and memory are pending unless every run was made on one kind of processor, on record.
    """
    # A key that is not listed is an older run's: taken for a time, the strictest.
    kind = EFFICIENCY_KEYS.get(key, TIME)
    if kind != COUNT and (why := explain_other_devices(arm, baseline)):
        return Measurement(unit="%", why=why)
    logs = []
    for one in (arm, baseline):
        values = {run.seed: run.efficiency.get(key) for run in one.distinct_runs()}
        for seed, value in values.items():
            if not isinstance(value, int | float) or value <= 0:
                return Measurement(unit="%", why=f"missing: {key} of {one.label}, seed {seed}")
        logs.append({seed: float(np.log(value)) for seed, value in values.items() if value})
    estimate = float(np.mean(list(logs[0].values())) - np.mean(list(logs[1].values())))
    seeds = sorted(logs[0])
    if min(map(len, logs)) < MIN_SEEDS:
        return describe_only(estimate, f"an interval over new seeds needs {MIN_SEEDS} in each arm")
    if seeds == sorted(logs[1]):
        test = paired_t_test([logs[0][s] - logs[1][s] for s in seeds], settings.confidence)
    else:
        test = welch_t_test([*logs[0].values()], [*logs[1].values()], settings.confidence)
    if test.low is None or test.high is None:
        return describe_only(estimate, test.status)
    machine = "" if kind == COUNT else f" on {next(list_devices(arm))}"
    return measure_log_ratio(estimate, test, f"t interval over {test.n} seeds{machine}")


def explain_other_devices(arm: Arm, baseline: Arm) -> str:
    """Why measured times of two arms do not compare; empty where one kind of processor made all."""
    kinds: dict[str, str] = {}
    for one in (arm, baseline):
        for run in one.distinct_runs():
            devices = list(list_run_devices(run))
            if not devices:
                return (
                    f"no processor on record of {one.label}, seed {run.seed}: its times compare "
                    f"with nothing. Train it again"
                )
            for device in devices:
                kinds.setdefault(device, f"{one.label}, seed {run.seed}")
    if len(kinds) == 1:
        return ""
    places = "; ".join(f"{device} ({where})" for device, where in kinds.items())
    return f"more than one kind of processor: {places}. Run both arms on one kind"


def list_devices(arm: Arm) -> Iterator[str]:
    """The processors of all its runs."""
    return (device for run in arm.distinct_runs() for device in list_run_devices(run))


def list_run_devices(run: Run) -> Iterator[str]:
    """How many of which processor trained and scored a run, as far as it is on record."""
    ranks = run.manifest.get("ranks", 1)
    for device in (run.budget.get("device"), run.efficiency.get("device")):
        if device:
            yield f"{ranks} x {device}" if ranks != 1 else str(device)
