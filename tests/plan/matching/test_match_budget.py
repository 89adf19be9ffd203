"""budget.match={flops_of: ARM}: as many steps as take the FLOPs of another arm of the sweep."""

from pathlib import Path
from typing import Any

import pytest

from kvdistill.errors import ConfigError

pytestmark = pytest.mark.usefixtures("hydra")

SWEEP = """
question: At equal FLOPs?
match: flops
arms:
  sft: {arm: sft}
  sft_flops: {arm: sft, budget.match: {flops_of: kv}}
  kv: {arm: single_teacher}
seeds: [1, 2]
"""


def plan_sweep(folder: Path, text: str, *overrides: str) -> Any:
    from kvdistill.plan.expand import expand_command

    (folder / "s.yaml").write_text(text)
    command = ["sweep=s", "stage=plan", "references=false", f"root={folder}", *overrides]
    return expand_command([command], folder)


def get_run(plan: Any, label: str, question: str = "s") -> Any:
    return plan.runs[next(iter(plan.questions[question].arms[label].values()))]


def test_the_steps_take_the_flops_of_the_other_arm_to_within_a_step(tmp_path: Path) -> None:
    from kvdistill.plan.matching.run_flops import count_step_flops

    plan = plan_sweep(tmp_path, SWEEP)
    kv, matched, sft = (get_run(plan, label) for label in ("kv", "sft_flops", "sft"))
    total, each = kv.steps * count_step_flops(kv.config), count_step_flops(matched.config)
    assert abs(matched.steps * each - total) <= each / 2
    assert matched.steps > sft.steps == kv.steps == 300
    assert plan.questions["s"].matched == {"sft_flops": "kv"}
    assert plan.questions["s"].judging["match"] == "flops"
    assert plan.list_unified_steps() == [300]


@pytest.mark.integration
def test_a_teacher_that_reads_more_tokens_takes_more_steps_to_match(tmp_path: Path) -> None:
    from kvdistill.plan.matching.run_flops import count_step_flops

    alike = get_run(plan_sweep(tmp_path, SWEEP), "kv").config
    (name,) = alike["teachers"]
    finer = alike | {"teachers": {name: alike["teachers"][name] | {"tokens_per_student_token": 2}}}
    sft = get_run(plan_sweep(tmp_path, SWEEP), "sft").config
    once = count_step_flops(alike) - count_step_flops(sft)
    twice = count_step_flops(finer) - count_step_flops(sft)
    # Products with weights twice, attention's own four times.
    assert 2 * once < twice < 4 * once
    arm = "{arm: multi_teacher}"
    arms = (
        arm.replace("}", f", teachers.b.tokens_per_student_token: {ratio}}}")
        for ratio in (1.0, 1.07, 1.2)
    )
    single = "{arm: single_teacher}"
    plans = [plan_sweep(tmp_path, SWEEP.replace(single, each)) for each in arms]
    steps = [get_run(plan, "sft_flops").steps for plan in plans]
    assert steps == sorted({*steps})
    # As nano's own YAML says, and no other run than without the number.
    stated = plan_sweep(tmp_path, SWEEP.replace(single, arm))
    assert get_run(stated, "sft_flops").steps == steps[1]
    assert len({get_run(plan, "kv").identity for plan in (*plans, stated)}) == 1


def test_a_derived_budget_is_the_run_of_one_typed_by_hand(tmp_path: Path) -> None:
    matched = get_run(plan_sweep(tmp_path, SWEEP), "sft_flops")
    budget = matched.config["budget"]
    assert budget["total_tokens"] == matched.steps * 64 * 64
    assert budget["match"] is None
    by_hand = (
        f"arms: {{a: {{arm: sft, budget.total_tokens: {budget['total_tokens']}}}}}\nseeds: [1]"
    )
    assert get_run(plan_sweep(tmp_path, by_hand), "a").identity == matched.identity


def test_a_store_saves_no_flops_of_the_arm_that_is_matched(tmp_path: Path) -> None:
    stored = SWEEP.replace("{arm: single_teacher}", "{arm: single_teacher, source: store}")
    steps = get_run(plan_sweep(tmp_path, stored), "sft_flops").steps
    assert steps == get_run(plan_sweep(tmp_path, SWEEP), "sft_flops").steps


@pytest.mark.integration
def test_what_teachers_write_is_matched_once_whatever_is_trained_on_it(tmp_path: Path) -> None:
    from kvdistill.plan.matching.run_flops import count_step_flops, count_written_flops

    taught = SWEEP.replace("{arm: single_teacher}", "{arm: sequence_kd}")
    plan = plan_sweep(tmp_path, taught)
    kv, matched = (get_run(plan, label) for label in ("kv", "sft_flops"))
    written, each = count_written_flops(kv.config), count_step_flops(matched.config)
    assert written > 10 * each
    total = kv.steps * count_step_flops(kv.config) + written
    assert abs(matched.steps * each - total) <= each / 2
    gold = get_run(plan_sweep(tmp_path, SWEEP), "sft_flops").config
    assert count_written_flops(gold) == 0
    # Twice the training, the same answers.
    longer = get_run(plan_sweep(tmp_path, taught, "budget.total_tokens=2457600"), "kv").config
    assert count_written_flops(longer) == written


def test_answers_that_take_more_than_the_other_arm_are_refused(tmp_path: Path) -> None:
    swapped = SWEEP.replace("sft_flops: {arm: sft,", "sft_flops: {arm: sequence_kd,")
    short = "budget.total_tokens=8192"
    with pytest.raises(ConfigError, match="sft_flops trains on answers whose writing alone takes"):
        plan_sweep(tmp_path, swapped, short)


def test_a_budget_of_the_command_is_the_other_arms_and_is_matched(tmp_path: Path) -> None:
    plan = plan_sweep(tmp_path, SWEEP, "budget.total_tokens=122880")
    whole = get_run(plan_sweep(tmp_path, SWEEP), "sft_flops").steps
    assert get_run(plan, "kv").steps == 30
    assert abs(get_run(plan, "sft_flops").steps - whole / 10) <= 1


def test_an_arm_is_matched_at_its_own_point_of_the_axes(tmp_path: Path) -> None:
    plan = plan_sweep(tmp_path, SWEEP + "axes: {budget.seq_len: [32, 64]}\n")
    matched = plan.questions["s"].matched
    assert matched["sft_flops budget.seq_len=32"] == "kv budget.seq_len=32"
    assert matched["sft_flops budget.seq_len=64"] == "kv budget.seq_len=64"


def test_a_chain_is_followed_to_the_arm_with_a_budget_of_its_own(tmp_path: Path) -> None:
    chain = SWEEP.replace(
        "  kv:", "  again: {arm: sft, budget.match: {flops_of: sft_flops}}\n  kv:"
    )
    plan = plan_sweep(tmp_path, chain)
    assert get_run(plan, "again").steps == get_run(plan, "sft_flops").steps


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("flops_of: kv", "flops_of: kvv", "names no arm of the sweep. Choose one of sft, kv."),
        ("flops_of: kv", "of: kv", "must be {flops_of: ARM}"),
        ("flops_of: kv", "flops_of: sft_flops", "circle: sft_flops -> sft_flops"),
        ("{arm: single_teacher}", "{arm: raw_student}", "kv trains nothing"),
        ("{arm: sft,", "{arm: raw_student,", "sft_flops trains nothing"),
        ("{arm: sft,", "{arm: sft, budget.total_tokens: 9,", "both say how much the arm trains"),
        (
            "{arm: single_teacher}", "{arm: single_teacher, budget.match: {flops_of: sft_flops}}",
            "circle: sft_flops -> kv -> sft_flops",
        ),
        ("match: flops", "match: energy", "match=energy must be one of steps, flops, time"),
        ("match: flops", "differs: train.lr", "differs=train.lr must list"),
    ],
)  # fmt: skip
def test_what_cannot_be_matched_is_refused_by_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in SWEEP
    with pytest.raises(ConfigError) as caught:
        plan_sweep(tmp_path, SWEEP.replace(old, new))
    assert message in str(caught.value)


def test_without_a_sweep_there_is_no_arm_to_match(tmp_path: Path) -> None:
    from kvdistill.plan.expand import expand_command

    with pytest.raises(ConfigError, match="only a sweep has arms"):
        expand_command([["arm=sft", "budget.match={flops_of:kv}", "stage=plan"]], tmp_path)


def test_the_plans_table_says_what_was_worked_out(tmp_path: Path) -> None:
    from kvdistill.cli.plan_table import tabulate_plan

    plan = plan_sweep(tmp_path, SWEEP)
    steps = get_run(plan, "sft_flops").steps
    expected = f"s: sft_flops trains {steps} steps, for the FLOPs of kv's 300"
    assert tabulate_plan(plan).caption == expected
