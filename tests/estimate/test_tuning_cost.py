"""The price of a tuning: its trials' training, with every tuning seed, and no scoring."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("hydra")

SWEEP = """
arms: {sft: {arm: sft}, kv: {arm: single_teacher}}
tune: {grid: {train.lr: [1.0e-3, 2.0e-3, 3.0e-3]}, trials: 3, seeds: [1, 2]}
seeds: [11]
"""


def test_trials_cost_their_training_and_no_scoring(tmp_path: Path) -> None:
    from kvdistill.config.schema import read_group
    from kvdistill.estimate.run_cost import estimate_run
    from kvdistill.estimate.tuning_cost import price_trials, tabulate_trial_costs
    from kvdistill.plan.expand import expand_command
    from kvdistill.plan.trials.expand_trials import expand_trials

    (tmp_path / "s.yaml").write_text(SWEEP)
    command = ["sweep=s", "stage=plan", "references=false", f"root={tmp_path}"]
    plan, trials = expand_command([command], tmp_path), expand_trials([command], tmp_path)
    assert trials is not None
    estimate = read_group("estimate", trials.config["estimate"])
    sft, kv = price_trials(trials, estimate)
    runs = {run.config["arm"]: run for run in plan.runs.values()}
    run = estimate_run(runs["sft"].config, runs["sft"].steps, estimate)
    assert run.evaluation > 0
    assert (sft.each.student, sft.each.evaluation) == (run.student, 0)
    assert sft.total.student == 6 * run.student
    assert (sft.trials, sft.seeds, sft.steps) == (3, 2, runs["sft"].steps)
    assert kv.total.teachers > 0 == sft.total.teachers
    table = tabulate_trial_costs(trials, estimate)
    assert table.row_count == 2
