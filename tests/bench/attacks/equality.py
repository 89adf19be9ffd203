"""Arms called equal that are not: a sabotaged baseline, one view alone, two changes in one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kvdistill.config.schema import read_group
from kvdistill.plan.budget import global_batch, unified_steps
from kvdistill.plan.flops import TokenLoad
from kvdistill.plan.matching.run_flops import count_step_flops, count_student_flops
from tests.bench.attacks.outcome import Outcome, judge_text
from tests.bench.attacks.studies import pretend_run, report_root

FEW = {"nano_arithmetic": 60, "nano_logic": 40, "nano_truth": 40}
"""Tasks, that a page is built in a moment."""


def attack_06_another_rate_schedule_and_decay(folder: Path) -> Outcome:
    """The baseline is trained at settings that ruin it, by a command of its own."""
    spoilt = ("train.lr=0.5", "train.weight_decay=0.9", "train.lr_scheduler_type=constant")
    return sabotage_baseline(
        folder, spoilt, "train.lr: 0.5 vs", "train.weight_decay: 0.9 vs",
        "train.lr_scheduler_type: constant vs",
    )  # fmt: skip


def attack_06_half_a_student_on_a_tenth_of_the_rows(folder: Path) -> Outcome:
    """The baseline is a smaller model that reads fewer rows."""
    spoilt = ("student=nano_third", "data.split.max_student_rows=50")
    return sabotage_baseline(
        folder,
        spoilt,
        "student: nano-third vs nano-student",
        "data.split.max_student_rows: 50 vs",
    )


def attack_06_a_third_of_the_tokens_and_other_code(folder: Path) -> Outcome:
    """Settings agree; ledger and manifest say that the baseline read less, by other code."""
    code = {"fingerprint": "0" * 12, "modules": {"kvdistill.train.step": "0" * 12}}

    def spoil(config: Mapping[str, Any]) -> Mapping[str, Any]:
        if config["arm"] != "sft":
            return {}
        return {"ledger": {"texts": "1" * 64, "real_tokens": 3000}, "code": code}

    return sabotage_baseline(
        folder, (), "texts: ", "real tokens: 3,000 vs 9,000", "other versions of train.step",
        facts=spoil,
    )  # fmt: skip


def sabotage_baseline(
    folder: Path, spoilt: tuple[str, ...], *needed: str, facts: Any = None
) -> Outcome:
    """Trains a spoilt SFT, then a KV arm beside it, and reads what the page makes of the two."""
    for arm, settings in (("sft", spoilt), ("single_teacher", ())):
        done = pretend_run(
            folder, f"arm={arm}", "references=false", "code=accept", *settings,
            level=0.3 if arm == "single_teacher" else -0.3, facts=facts, tasks=FEW,
        )  # fmt: skip
        if done.error:
            return Outcome("refused", done.error)
    page = report_root(folder)
    seen = judge_text(page, *needed, "Undeclared differences")
    if seen.verdict == "passed" or "single_teacher scores" in page:
        return Outcome("passed", seen.evidence)
    return Outcome("refused", seen.evidence)


def measure_flops(config: Mapping[str, Any], teacher_share: float = 1.0) -> dict[str, Any]:
    """The ledger of a run that read full texts; `teacher_share` of what its teachers cost."""
    budget = read_group("budget", config["budget"])
    steps, texts = unified_steps(budget), global_batch(budget)
    load = TokenLoad.nominal(texts * budget.seq_len, budget.seq_len)
    student = count_student_flops(dict(config), load)
    teachers = count_step_flops(dict(config)) - student
    tokens = steps * texts * budget.seq_len
    return {"ledger": {
        "steps": steps, "sequences": steps * texts, "epochs": steps * texts / 1000,
        "planned_tokens": tokens,
        "real_tokens": tokens, "student_flops": steps * student,
        "teacher_flops": round(steps * teachers * teacher_share),
    }}  # fmt: skip


def score_more_for_steps(config: Mapping[str, Any]) -> float:
    """KV above SFT at equal steps, SFT with KV's FLOPs above both."""
    if config["arm"] != "sft":
        return 0.2
    return 0.6 if config["budget"]["total_tokens"] > 2_000_000 else 0.0


def attack_07_equal_steps_as_the_only_view(folder: Path) -> Outcome:
    """KV wins at equal steps and loses at equal FLOPs; the page must show both."""
    done = pretend_run(
        folder, "sweep=equal_flops", "references=false", level=score_more_for_steps,
        facts=lambda config: measure_flops(config) if config["trained"] else {}, tasks=FEW,
    )  # fmt: skip
    if done.error:
        return Outcome("passed", done.error)
    page = report_root(folder)
    return judge_text(
        page, "the claim is about equal FLOPs", "equal FLOPs multi_teacher sft_flops",
        "equal steps multi_teacher sft ", "refuted",
    )  # fmt: skip


def attack_07_called_equal_flops_and_not(folder: Path) -> Outcome:
    """The ledgers say that the arm took a third less than the other was given steps for."""

    def shrink(config: Mapping[str, Any]) -> Mapping[str, Any]:
        return measure_flops(config, 0.5) if config["trained"] else {}

    done = pretend_run(folder, "sweep=equal_flops", "references=false", facts=shrink, tasks=FEW)
    page = report_root(folder) if not done.error else done.error
    seen = judge_text(page, "FLOPs of student and teachers", "apart", "pending")
    return Outcome("refused" if seen.verdict == "shown" else "passed", seen.evidence)


def attack_08_number_and_identity_in_one(folder: Path) -> Outcome:
    """`Several teachers beat one` where the several are not the one teacher again."""
    done = pretend_run(folder, "sweep=treatments", "seed=42", "references=false", tasks=FEW)
    if done.error:
        return Outcome("passed", done.error)
    return judge_text(report_root(folder), "number and identity change together", "differs in")
