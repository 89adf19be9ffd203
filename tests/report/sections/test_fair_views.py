"""Equal steps, equal FLOPs, equal time: every view that has runs, and which the claim is about."""

from pathlib import Path
from typing import Any

from kvdistill.report.sections.fair_views import tabulate_fair_views
from kvdistill.stats.analysis import Analysis
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import Arm, QuestionRecords, Run, Study
from kvdistill.stats.summary import Table
from tests.report.small_studies import make_scores
from tests.stats import fake

SETTINGS = Settings(resamples=999)


def make_arm(label: str, score: float, steps: int, tokens: int, **ledger: Any) -> Arm:
    runs = {}
    for seed in (1, 2, 3):
        config = fake.make_config("same", seed=seed)
        config["budget"]["total_tokens"] = tokens
        runs[seed] = Run(
            identity=f"{label}{seed}", folder=Path(label), arm=label, seed=seed, trained=True,
            recipe=label, config=config, scores={"t": make_scores("t", score)},
            manifest={"ledger": {"steps": steps, "teacher_flops": 0, "device": "A100", **ledger}},
        )  # fmt: skip
    return Arm(label=label, runs=runs, declared=["budget.total_tokens", "fusion"])


def read_rows(match: str, *arms: Arm) -> tuple[str, list[dict[str, str]]]:
    question = QuestionRecords(
        name="q", text="", arms={arm.label: arm for arm in arms}, match=match,
        primary={"arm": "kv", "baseline": arms[0].label},
    )  # fmt: skip
    runs = {run.identity: run for arm in arms for run in arm.runs.values()}
    study = Study(
        name="s", folders=[], tasks=["t"], questions={"q": question}, runs=runs, references={}
    )
    table = Table(question="q", text="", endpoints=("t", "macro"), rows={})
    analysis = Analysis(question=question, table=table, comparisons={}, ties={})
    grid = tabulate_fair_views(study, analysis, SETTINGS)
    return grid.caption, [
        dict(zip(grid.columns, (cell.text for cell in row), strict=True)) for row in grid.rows
    ]


def test_each_view_is_set_beside_the_arm_that_is_equal_in_it() -> None:
    kv = make_arm("kv", 0.6, 10, 100, student_flops=1000, teacher_flops=1000, train_s=20.0)
    more = make_arm("more", 0.7, 20, 200, student_flops=2000, train_s=13.0)
    sft = make_arm("sft", 0.5, 10, 100, student_flops=1000, train_s=7.0)
    caption, (steps, flops, time) = read_rows("flops", more, sft, kv)
    assert "the claim is about equal FLOPs" in caption
    assert (steps["view"], steps["against"], steps["FLOPs"]) == ("equal steps", "sft", "2.00")
    assert (flops["against"], flops["steps"], flops["FLOPs"]) == ("more", "0.50", "1.00")
    assert time["against"] == "no run"
    assert time["remark"] == "more would need about 31 steps"


def test_a_view_without_a_run_says_how_to_get_one() -> None:
    kv = make_arm("kv", 0.6, 10, 100, student_flops=1000, teacher_flops=500, train_s=20.0)
    sft = make_arm("sft", 0.5, 10, 100, student_flops=1000, train_s=20.0)
    caption, (steps, flops, time) = read_rows("steps", sft, kv)
    assert "the claim is about equal steps" in caption
    assert (steps["against"], time["against"]) == ("sft", "sft")
    assert flops["remark"] == "sft would need about 15 steps, as budget.match={flops_of: kv}"


def test_times_of_two_kinds_of_processor_are_not_equal() -> None:
    kv = make_arm("kv", 0.6, 10, 100, student_flops=1000, train_s=20.0)
    sft = make_arm("sft", 0.5, 10, 100, student_flops=1000, train_s=20.0, device="H100")
    _, (_, _, time) = read_rows("steps", sft, kv)
    assert time["against"] == "no run"


def test_a_store_is_charged_in_part_to_each_run_that_reads_it_and_whole_to_one() -> None:
    kv = make_arm(
        "kv", 0.6, 10, 100, student_flops=1000, train_s=20.0, stored_bytes=5,
        stored_teacher_flops=1500, store_flops={"kv-1": 600},
    )  # fmt: skip
    sft = make_arm("sft", 0.5, 10, 100, student_flops=1000, train_s=20.0)
    _, (steps, *_) = read_rows("steps", sft, kv)
    assert steps["FLOPs"] == "2.50"
    assert steps["FLOPs, stores shared"] == "1.20"  # three runs read it
    assert steps["FLOPs, stores alone"] == "1.60"


def test_answers_are_charged_as_a_store_is() -> None:
    answers = {"a": {"artifact": "answers-1", "flops": 600}}
    taught = make_arm("kv", 0.6, 10, 100, student_flops=1000, train_s=20.0, answers=answers)
    sft = make_arm("sft", 0.5, 10, 100, student_flops=1000, train_s=20.0)
    _, (steps, *_) = read_rows("steps", sft, taught)
    assert steps["FLOPs"] == "1.60"  # whole, as a run alone would take
    assert steps["FLOPs, stores shared"] == "1.20"  # three runs train on them
    assert steps["FLOPs, stores alone"] == "1.60"
