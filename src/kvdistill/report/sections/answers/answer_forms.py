"""Where likelihood and written answers rank arms differently, on the same items of one benchmark.

A gain in likelihood need not be one in what a model writes: on GenDistill's pairs (arXiv
2603.26556) a gap to the teacher of 0.2 points was one of 20.8 in generation, and ranks reversed.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from statistics import fmean

import numpy as np

from kvdistill.plan.task_files import pair_answer_forms
from kvdistill.report.format import format_interval, format_signed
from kvdistill.report.table import DASH, ReportTable, TableCell
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.seed_tests import OK, TTest, paired_t_test
from kvdistill.stats.study import Arm

AGREE, DISAGREE, BEYOND_SEEDS = "same", "other way", "other way, beyond seeds"


def tabulate_answer_forms(analysis: Analysis) -> ReportTable:
    """A row an arm and pair of tasks: its difference from the baseline under both.

    Without rows where no benchmark was scored in both forms.
    """
    arms = select_scored_arms(analysis.question.arms)
    pairs = pair_answer_forms([*dict.fromkeys(task for scores in arms.values() for task in scores)])
    rows = [
        make_row(analysis, label, pair)
        for pair in pairs
        for label in arms
        if label != analysis.baseline and analysis.baseline in arms
        if all(task in arms[each] for task in pair for each in (label, analysis.baseline))
    ]
    return ReportTable(
        f"{analysis.question.name}_answer_forms",
        "Likelihood beside written answers",
        ["arm", "likelihood", "difference", "interval", "written", "difference ", "interval ",
         "direction"],
        rows,
        note=(
            f"Points from {analysis.baseline}, on the same rows, with intervals over common seeds. "
            "Beyond seeds: neither interval holds 0."
        ),
        numeric=[False, False, True, True, False, True, True, False],
    )  # fmt: skip


def describe_answer_forms(analysis: Analysis) -> list[str]:
    """A sentence for each pair of tasks that puts some arms in another order."""
    arms = select_scored_arms(analysis.question.arms)
    names = [*dict.fromkeys(task for scores in arms.values() for task in scores)]
    sentences = []
    for likelihood, written in pair_answer_forms(names):
        both = [label for label in arms if {likelihood, written} <= {*arms[label]}]
        turned = [
            f"{one} and {other}"
            for one, other in combinations(both, 2)
            if is_reversed(*(arms[one][task] - arms[other][task] for task in (likelihood, written)))
        ]
        if turned:
            count = len(both) * (len(both) - 1) // 2
            sentences.append(
                f"{likelihood} and {written} rank {len(turned)} of {count} pairs of arms "
                f"differently: {'; '.join(turned[:3])}{'; ...' if len(turned) > 3 else ''}."
            )
    return sentences


def select_scored_arms(arms: Mapping[str, Arm]) -> dict[str, dict[str, float]]:
    """Arm -> task -> mean over its runs, of the arms whose every run is done."""
    scored = {}
    for label, arm in arms.items():
        runs = arm.distinct_runs()
        if runs and all(run.done for run in runs):
            tasks = set.intersection(*({*run.scores} for run in runs))
            scored[label] = {
                task: fmean(run.scores[task].score for run in runs)
                for task in runs[0].scores
                if task in tasks
            }
    return scored


def make_row(analysis: Analysis, label: str, pair: tuple[str, str]) -> list[TableCell]:
    """One arm: the two differences with their intervals, and whether they point the same way."""
    arm, baseline = (analysis.question.arms[each] for each in (label, analysis.baseline))
    tests = [compare_over_seeds(arm, baseline, task) for task in pair]
    cells = [
        cell
        for task, test in zip(pair, tests, strict=True)
        for cell in (TableCell(task), *make_test_cells(test))
    ]
    return [TableCell(label), *cells, make_direction_cell(*tests)]


def compare_over_seeds(arm: Arm, baseline: Arm, task: str) -> TTest:
    """The difference of two arms on a task, over the seeds that both have; a raw arm has one."""
    return paired_t_test(list(iter_differences(arm, baseline, task)))


def iter_differences(arm: Arm, baseline: Arm, task: str) -> Iterator[float]:
    """One a seed; an arm that is not trained is the same run for each seed of the other."""
    for seed in sorted((arm if arm.trained else baseline).runs):
        runs = [each.runs.get(seed if each.trained else min(each.runs)) for each in (arm, baseline)]
        one, other = (run.scores[task].score if run else np.nan for run in runs)
        if not np.isnan([one, other]).any():
            yield one - other


def make_test_cells(test: TTest) -> tuple[TableCell, TableCell]:
    """The difference in points, and its interval where seeds have one."""
    if test.estimate is None:
        return TableCell(DASH), TableCell(DASH)
    points = 100 * test.estimate
    interval = DASH
    if test.low is not None and test.high is not None:
        interval = format_interval(100 * test.low, 100 * test.high)
    return TableCell(format_signed(points), points), TableCell(interval)


def make_direction_cell(likelihood: TTest, written: TTest) -> TableCell:
    """Whether both forms point the same way; coloured where they do not."""
    if likelihood.estimate is None or written.estimate is None:
        return TableCell(DASH)
    if not is_reversed(likelihood.estimate, written.estimate):
        return TableCell(AGREE)
    beyond = all(test.status == OK and (test.p or 0) < 0.05 for test in (likelihood, written))
    return TableCell(BEYOND_SEEDS if beyond else DISAGREE, None, "bad")


def is_reversed(first: float, second: float) -> bool:
    """Whether one is a gain and the other a loss; a tie is neither."""
    # Rounded: means over seeds that tie differ in the last bits.
    return bool(np.sign(round(first, 9)) * np.sign(round(second, 9)) < 0)
