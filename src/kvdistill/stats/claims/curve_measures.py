"""Claims about validation losses: new seeds and new texts, as scores are over new seeds and items.

A ratio of two losses moves with the seeds and with the validation texts that were drawn. Both are
in the interval, on the log scale: the spread of the per-seed log ratios, and the variance over
texts of what each adds to their mean (jackknifed by row), as `combine_variances` joins them.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from kvdistill.stats.bootstrap import make_stratum
from kvdistill.stats.claims.measurement import Measurement, convert_log_ratio, measure_log_ratio
from kvdistill.stats.claims.validation_texts import (
    ValidationTexts,
    explain_contradiction,
    explain_other_texts,
    read_validation_texts,
)
from kvdistill.stats.combined_interval import (
    MIN_SEEDS,
    combine_variances,
    compute_mean_variance,
    estimate_run_noise,
    separate_item_variance,
)
from kvdistill.stats.curves import read_last_value
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, Run

COMPARABLE = {"kv": "kv_nmse", "k": "k_nmse", "v": "v_nmse", "ce": "ce"}
"""Measure -> column of the curves on which two arms compare. The KV terms of the loss are divided
by the mean of the teachers' spreads, which is another scale for other teachers."""
MIN_ROWS = 20
"""Validation rows below which their spread is not claimed to be known."""
DESCRIPTIVE = "descriptive"
"""How a sentence begins that says why an estimate has no interval."""

TextsBySeed = Mapping[int, ValidationTexts]


def measure_curve(arm: Arm, baseline: Arm, name: str, settings: Settings) -> Measurement:
    """Percent by which a last validation loss differs, over seeds and validation texts."""
    if name == "loss":
        return describe_loss(arm, baseline)
    column = COMPARABLE[name]
    texts: list[dict[int, ValidationTexts]] = []
    for one in (arm, baseline):
        runs = one.distinct_runs()
        if missing := [run for run in runs if read_last_value(run, column) is None]:
            why = f"missing: {column} of {one.label}, seed {missing[0].seed}"
            older = column != name and read_last_value(missing[0], name) is not None
            note = f"; it has {name} alone, whose scale is its teachers' own" if older else ""
            return Measurement(unit="%", why=why + note)
        texts.append({run.seed: t for run in runs if (t := read_validation_texts(run))})
    counts = zip(texts, (arm, baseline), strict=True)
    if any(len(of_arm) < len(one.distinct_runs()) for of_arm, one in counts):
        logs = [read_logs(one.distinct_runs(), column) for one in (arm, baseline)]
        difference = float(np.mean(logs[0]) - np.mean(logs[1]))
        return describe_only(difference, "the runs kept no losses by text, so no text component")
    return compare_texts(arm, baseline, texts[0], texts[1], column, settings)


def compare_texts(
    arm: Arm,
    baseline: Arm,
    ours: TextsBySeed,
    theirs: TextsBySeed,
    column: str,
    settings: Settings,
) -> Measurement:
    """The measurement, once every run has its losses by text."""
    every = [*ours.values(), *theirs.values()]
    problems = [
        explain_contradiction(one.runs[seed], texts[seed], column)
        for one, texts in ((arm, ours), (baseline, theirs))
        for seed in texts
    ]
    problems.append(explain_other_texts(every, column))
    if why := next(filter(None, problems), ""):
        return Measurement(unit="%", why=why)
    logs = [
        np.log([texts[s].compute_value(column) for s in sorted(texts)]) for texts in (ours, theirs)
    ]
    estimate = float(logs[0].mean() - logs[1].mean())
    rows = len(set(every[0].rows))
    if min(map(len, logs)) < MIN_SEEDS:
        return describe_only(estimate, f"an interval over new seeds needs {MIN_SEEDS} in each arm")
    if rows < MIN_ROWS:
        return describe_only(
            estimate, f"{rows} validation rows, under {MIN_ROWS}: no text component"
        )
    paired = sorted(ours) == sorted(theirs)
    samples = [logs[0] - logs[1]] if paired else logs
    seed_parts = [part for part in map(compute_mean_variance, samples) if part]
    text_se, text_df = measure_text_spread(ours, theirs, column, paired=paired)
    interval = combine_variances(estimate, seed_parts, text_se, text_df, settings.confidence)
    if interval is None:
        return describe_only(estimate, "no variance over seeds")
    why = f"{column}, over {min(map(len, logs))} seeds and {rows} validation rows"
    return measure_log_ratio(estimate, interval, why)


def measure_text_spread(
    ours: TextsBySeed, theirs: TextsBySeed, column: str, *, paired: bool
) -> tuple[float, float]:
    """(standard error over texts alone of the mean log ratio, its degrees of freedom).

    Texts of one row count as one. What a run adds of its own is taken out: the spread over
    seeds holds it already.
    """
    every = [*ours.values(), *theirs.values()]
    # A text that no teacher covers in one run has no value there, and is left out of all.
    known = np.asarray(~np.isnan([texts.columns[column] for texts in every]).any(axis=0))
    by_run = [
        np.array([texts[seed].compute_influence(column, known) for seed in sorted(texts)])
        for texts in (ours, theirs)
    ]
    samples = [by_run[0] - by_run[1]] if paired else by_run
    noise = sum(estimate_run_noise(list(each), None) / len(each) for each in samples)
    spread = make_stratum(column, by_run[0].mean(axis=0) - by_run[1].mean(axis=0))
    return separate_item_variance([spread], [noise]), float(len(spread.totals) - 1)


def describe_loss(arm: Arm, baseline: Arm) -> Measurement:
    """The trained loss: its estimate alone, since it is another sum of terms in each arm."""
    logs = []
    for one in (arm, baseline):
        values = read_logs(one.distinct_runs(), "loss")
        if len(values) < len(one.distinct_runs()):
            return Measurement(unit="%", why=f"missing: loss of {one.label}")
        logs.append(float(np.mean(values)))
    why = "the trained loss weighs other terms in each arm. Claim ce or kv"
    return describe_only(logs[0] - logs[1], why)


def read_logs(runs: Iterable[Run], column: str) -> list[float]:
    """Logs of the last validation value of the runs that have a positive one."""
    values = [read_last_value(run, column) for run in runs]
    return [float(np.log(value)) for value in values if value is not None and value > 0]


def describe_only(log_ratio: float, why: str) -> Measurement:
    """An estimate of which nothing is claimed, and why."""
    return Measurement(unit="%", estimate=convert_log_ratio(log_ratio), why=f"{DESCRIPTIVE}: {why}")
