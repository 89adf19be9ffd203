"""Attempts to get another recipe under a label that promises one."""

import json
from pathlib import Path

from kvdistill import layout
from tests.bench.attacks.outcome import Outcome, judge_text
from tests.bench.attacks.studies import (
    CommandResult,
    execute_command,
    execute_lists,
    pretend_run,
    report_root,
)

EDITED = """
question: Which?
arms:
  plain: {arm: sft, train.lr: 1.0e-3}
seeds: [1, 2]
"""
WEIGHTS = """
question: Which weight?
arms:
  kv: {arm: single_teacher}
axes:
  loss.kv_weight: [0.3, 1.0]
seeds: [1]
"""
SHARED = """
question: %s
arms:
  %s: {arm: sft}
  untrained: {arm: raw_student}
seeds: [1]
"""


def write_sweep(folder: Path, name: str, text: str) -> Path:
    """A folder of sweeps with this file in it."""
    sweeps = folder / "sweeps"
    sweeps.mkdir(exist_ok=True)
    (sweeps / f"{name}.yaml").write_text(text, encoding="utf-8")
    return sweeps


def judge_refusal(result: CommandResult, *needed: str) -> Outcome:
    """Refused where the error has all of `needed`, else passed."""
    missing = [part for part in needed if part not in result.error]
    if missing:
        return Outcome("passed", f"the error {result.error!r} lacks {'; '.join(missing)}")
    return Outcome("refused", result.error)


def read_arms(folder: Path, question: str = "runs") -> dict[str, dict[str, str]]:
    """Label -> seed -> identity, as the study's plan.json has it."""
    plan = json.loads((layout.study_folder(folder, "nano") / layout.PLAN).read_text("utf-8"))
    arms: dict[str, dict[str, str]] = plan["questions"][question]["arms"]
    return arms


def attack_01_three_recipes_by_three_commands(folder: Path) -> Outcome:
    """One label over three seeds of three fusions, by changing both at once."""
    commands = ([], ["fusion=learnable", "seed=43"], ["fusion=similarity", "seed=44"])
    for extra in commands:
        pretend_run(folder, "arm=multi_teacher", "references=false", *extra)
    arms = read_arms(folder)
    if any(len(seeds) > 1 for seeds in arms.values()):
        return Outcome("passed", f"one label holds several recipes: {arms}")
    page = report_root(folder)
    return judge_text(page, "multi_teacher (fusion=learnable)", "multi_teacher (fusion=similarity)")


def attack_01_edited_arm_and_seeds(folder: Path) -> Outcome:
    """A sweep's arm and its seed list edited between two commands, so that no seed collides."""
    sweeps = write_sweep(folder, "q", EDITED)
    pretend_run(folder, "sweep=q", "references=false", sweeps=sweeps)
    write_sweep(folder, "q", EDITED.replace("1.0e-3", "2.0e-3").replace("[1, 2]", "[3]"))
    again = pretend_run(folder, "sweep=q", "references=false", sweeps=sweeps)
    return judge_refusal(again, "label plain", "train.lr is 0.001 there and 0.002 here", "withdraw")


def attack_02_override_beats_an_arm(folder: Path) -> Outcome:
    """The command line's fusion under the label of another."""
    result = execute_command(folder, "stage=plan", "sweep=ablation_routing", "fusion=fixed")
    return judge_refusal(result, "fusion=fixed contradicts", "arm learnable sets fusion=learnable")


def attack_02_override_beats_an_axis(folder: Path) -> Outcome:
    """One weight in the rows of two."""
    sweeps = write_sweep(folder, "q", WEIGHTS)
    result = execute_command(folder, "stage=plan", "sweep=q", "loss.kv_weight=3", sweeps=sweeps)
    return judge_refusal(result, "loss.kv_weight=3 contradicts sweep=q", "loss.kv_weight=0.3")


def attack_02_value_inside_an_arms_choice(folder: Path) -> Outcome:
    """Values alone under the label of keys alone, by what the chosen file holds."""
    swaps = ("kv.keys=0.0", "kv.values=1.0")
    result = execute_command(folder, "stage=plan", "sweep=ablation_kv", *swaps)
    return judge_refusal(result, "kv.keys=0.0 contradicts", "arm k sets kv=k")


def attack_02_multirun_over_an_arms_choice(folder: Path) -> Outcome:
    """The same by `-m`, where the label would say both."""
    lists = [
        ["stage=plan", "sweep=ablation_routing", f"fusion={f}"] for f in ("fixed", "learnable")
    ]
    return judge_refusal(execute_lists(folder, lists), "contradicts sweep=ablation_routing")


def attack_03_one_run_by_two_labels(folder: Path) -> Outcome:
    """A run that two questions call otherwise must have both names wherever one is printed."""
    write_sweep(folder, "one", SHARED % ("One?", "plain"))
    sweeps = write_sweep(folder, "two", SHARED % ("Two?", "tuned"))
    pretend_run(folder, "sweep=[one,two]", "references=false", sweeps=sweeps)
    both = "plain, tuned"
    study = layout.study_folder(folder, "nano")
    places = {
        "status": execute_command(folder, "stage=status").output,
        "ledger": (study / f"{layout.BUDGET}.md").read_text("utf-8"),
        "page": report_root(folder),
        "matrix": (study / layout.REPORT / "tables" / "matrix.md").read_text("utf-8"),
    }
    lacking = [name for name, text in places.items() if both not in text]
    if lacking:
        return Outcome("passed", f"{both!r} does not stand in {', '.join(lacking)}")
    return Outcome("shown", f"{both} in {', '.join(places)}")


def attack_04_label_of_what_both_share(folder: Path) -> Outcome:
    """A second arm with many overrides in common: its label says what differs, its table stands."""
    shared = ("arm=sft", "references=false", "train.lr=0.002", "train.weight_decay=0.02")
    pretend_run(folder, *shared)
    last = pretend_run(folder, *shared, "train.warmup_ratio=0.2", "seed=43")
    label = "sft (train.warmup_ratio=0.2)"
    if label not in read_arms(folder):
        return Outcome("passed", f"the labels are {', '.join(read_arms(folder))}")
    return judge_text(last.output, label, "arithmetic", "average")
