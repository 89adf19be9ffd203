"""What differs between two arms is named, and refuses the comparison unless a sweep declares it."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvdistill.plan.code.accepted import AcceptedCode
from kvdistill.stats.arm_differences import (
    describe_contrast,
    explain_undeclared,
    list_differences,
    select_undeclared,
)
from kvdistill.stats.compare import UNDECLARED, compare_arms
from kvdistill.stats.settings import Settings
from kvdistill.stats.study import REFERENCE_DECLARES, Arm, QuestionRecords, Run
from tests.report.small_studies import make_scores
from tests.stats import fake

LEDGER = {
    "steps": 40, "sequences": 640, "epochs": 2.0, "real_tokens": 9000, "texts": "abc",
    "trained_parameters": 5000, "device": "A100",
}  # fmt: skip
TWO = {
    "a": {"name": "7B", "geometry": {"layers": 28}},
    "b": {"name": "8B", "geometry": {"layers": 32}},
}


def make_arm(
    label: str,
    declared: tuple[str, ...] = ("arm",),
    config: dict[str, Any] | None = None,
    ledger: dict[str, Any] | None = None,
    trained: bool = True,
    **manifest: Any,
) -> Arm:
    """An arm of two seeds; `config` is what it sets otherwise, by dotted path."""
    runs = {}
    for seed in (42, 43):
        settings = fake.make_config("same", seed=seed, trained=trained)
        for path, value in (config or {}).items():
            set_value(settings, path, value)
        runs[seed] = Run(
            identity=f"{label}{seed}", folder=Path(label), arm=label, seed=seed, trained=trained,
            recipe=label, config=settings, efficiency={"parameters": 9000},
            manifest={"ledger": {**LEDGER, **(ledger or {})}, **manifest},
        )  # fmt: skip
    return Arm(label=label, runs=runs, declared=declared)


def set_value(node: dict[str, Any], path: str, value: Any) -> None:
    head, _, rest = path.partition("/")
    if rest:
        set_value(node.setdefault(head, {}), rest, value)
    else:
        node[head] = copy.deepcopy(value)


def describe(arm: Arm, baseline: Arm, question: QuestionRecords | None = None) -> str:
    return describe_contrast(list_differences(arm, baseline, question))


def test_arms_of_one_recipe_differ_in_nothing() -> None:
    assert describe(make_arm("b"), make_arm("a")) == "nothing but label and seeds"


def test_settings_of_arms_that_have_no_finished_run_are_read_as_they_were_frozen() -> None:
    arm, baseline = make_arm("b", config={"train/lr": 0.01}), make_arm("a")
    for each in (arm, baseline):
        each.runs = {s: replace(r, state="failed", manifest={}) for s, r in each.runs.items()}
    assert describe(arm, baseline) == "train.lr: 0.001 vs 0.01"
    arm.runs = {s: replace(r, config={}) for s, r in arm.runs.items()}
    assert describe(arm, baseline) == "settings: not known (until each has a finished run)"


def test_what_one_arm_has_no_use_for_and_both_set_alike_is_no_difference() -> None:
    arms = []
    for choice, weight in (("none", 0.0), ("kl", 1.0)):
        settings = fake.make_config("same")
        logits = {"weight": weight, "vocabulary": {"_target_": "fake.Same"}}
        choices = {**settings["choices"], "logits": choice, "logits/vocabulary": "same"}
        arms.append(make_arm(choice, config={"logits": logits, "choices": choices}))
    baseline, arm = arms
    assert describe(arm, baseline) == "logits: none vs kl"


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"train/lr": 0.01}, "train.lr: 0.001 vs 0.01"),
        ({"train/weight_decay": 0.3}, "train.weight_decay: 0.0 vs 0.3"),
        ({"train/lr_scheduler_type": "linear"}, "train.lr_scheduler_type: cosine vs linear"),
        ({"data/source/rows": 10}, "data.source.rows: 100 vs 10"),
        ({"budget/seq_len": 32}, "budget.seq_len: 64 vs 32"),
        ({"student/name": "half"}, "student: small vs half"),
        ({"student/geometry/layers": 2}, "student.geometry.layers: 4 vs 2"),
        ({"teachers/a/geometry/layers": 2}, "teachers.a.geometry.layers: 8 vs 2"),
        ({"choices/train": "paper", "train/lr": 0.01}, "train: debug vs paper"),
    ],
)
def test_a_setting_that_no_arm_declares_is_named_and_refused(
    config: dict[str, Any], line: str
) -> None:
    if "student/name" in config:  # the name alone is no science
        config["student/geometry/layers"] = 2
    arm, baseline = make_arm("kv", config=config), make_arm("sft")
    assert line in describe(arm, baseline)
    refusal = explain_undeclared(list_differences(arm, baseline))
    assert line in refusal
    assert "sweep's arms, axes or differs:" in refusal


@pytest.mark.parametrize(
    ("ledger", "line"),
    [
        ({"texts": "other"}, "texts: abc vs other"),
        ({"epochs": 4.0}, "rows: 320 vs 160"),
        ({"real_tokens": 3000}, "real tokens: 9,000 vs 3,000"),
        ({"trained_parameters": 2500}, "trained parameters: 5,000 vs 2,500"),
    ],
)
def test_a_record_that_follows_from_nothing_declared_is_refused(
    ledger: dict[str, Any], line: str
) -> None:
    arm, baseline = make_arm("kv", ledger=ledger), make_arm("sft")
    assert line in explain_undeclared(list_differences(arm, baseline))


def test_what_an_arm_or_the_question_declares_is_named_and_allowed() -> None:
    config = {"train/lr": 0.01}
    baseline, arm = make_arm("sft"), make_arm("kv", ("arm", "train.lr"), config)
    assert describe(arm, baseline) == "train.lr: 0.001 vs 0.01"
    assert not explain_undeclared(list_differences(arm, baseline))
    # A declared group says no more than which of its files was taken.
    assert explain_undeclared(list_differences(make_arm("kv", ("train",), config), baseline))
    question = QuestionRecords(name="q", text="", arms={}, differs=["train.lr"])
    assert not explain_undeclared(
        list_differences(make_arm("kv", config=config), baseline, question)
    )


def test_a_style_that_is_declared_explains_other_texts_and_tokens() -> None:
    ledger = {"texts": "other", "real_tokens": 3000, "epochs": 1.0}
    style = {"style": {"_target_": "fake.direct"}, "choices/style": "direct"}
    baseline = make_arm("cot", config={"choices/style": "cot"})
    arm = make_arm("direct", ("style",), style, ledger)
    line = describe(arm, baseline)
    assert "style: cot vs direct" in line
    assert "texts" in line
    assert "real tokens" in line
    assert not explain_undeclared(list_differences(arm, baseline))
    assert explain_undeclared(list_differences(make_arm("direct", (), style, ledger), baseline))


def test_an_arm_without_teachers_has_no_use_for_the_rooms_that_read_them() -> None:
    bare = {"teachers": {}, "choices/teachers": "none", "fusion": {"_target_": "fake.other"}}
    arm, baseline = make_arm("kv"), make_arm("sft", ("teachers",), bare)
    assert describe(arm, baseline) == "teachers: none vs big"
    assert not explain_undeclared(list_differences(arm, baseline))
    # Its optimiser acts on both.
    fast = make_arm("sft", ("teachers",), {**bare, "train/lr": 0.1})
    assert "train.lr" in explain_undeclared(list_differences(arm, fast))


def test_a_set_of_teachers_says_whether_number_and_identity_change_together() -> None:
    one = make_arm("single", ("teachers",), {"teachers": {"a": TWO["a"]}})
    two = make_arm("multi", ("teachers",), {"teachers": TWO})
    twice = make_arm("twice", ("teachers",), {"teachers": {"a": TWO["a"], "b": TWO["a"]}})
    other = make_arm("other", ("teachers",), {"teachers": {"a": TWO["b"]}})
    assert describe(two, one) == "teachers: 7B vs 7B + 8B (number and identity change together)"
    assert describe(twice, one) == "teachers: 7B vs 7B + 7B (the number changes)"
    assert "other teachers, as many" in describe(other, one)


def test_an_untrained_arm_is_held_to_its_student_alone() -> None:
    raw = make_arm("raw", ("trained",), {"train/lr": 0.9}, trained=False)
    for run in raw.runs.values():
        run.manifest = {}
    arm = make_arm("sft")
    assert describe(arm, raw) == "arm: same, not trained vs same, trained"
    assert not explain_undeclared(list_differences(arm, raw))
    teacher = make_arm(
        "teacher 7B", REFERENCE_DECLARES, {"student/name": "7B", "student/geometry/layers": 8},
        trained=False,
    )  # fmt: skip
    assert "student: 7B vs small" in describe(arm, teacher)
    assert not explain_undeclared(list_differences(arm, teacher))


def test_two_versions_of_a_module_are_refused_unless_accepted() -> None:
    codes = [{"fingerprint": d, "modules": {"kvdistill.loss.mse": d, f"only.{d}": d}} for d in "ab"]
    baseline, arm = make_arm("sft", code=codes[0]), make_arm("kv", code=codes[1])
    assert "code" in explain_undeclared(list_differences(arm, baseline))
    assert "other versions of loss.mse)" in describe(arm, baseline)
    accepted = AcceptedCode([{"versions": {"kvdistill.loss.mse": ["a", "b"]}}])
    question = QuestionRecords(name="q", text="", arms={}, accepted_code=accepted)
    assert not explain_undeclared(list_differences(arm, baseline, question))
    assert "accepted with code=accept" in describe(arm, baseline, question)
    # What only one of them reaches is what the two arms are about.
    assert "nothing" in describe(make_arm("kv", code={**codes[0], "modules": {"x": "y"}}), baseline)


def test_more_tuning_of_one_arm_is_refused() -> None:
    baseline, arm = make_arm("sft"), make_arm("kv")
    arm.trials = 5
    assert "tuning: 1 vs 5" in explain_undeclared(list_differences(arm, baseline))
    question = QuestionRecords(name="q", text="", arms={}, differs=["tuning"])
    assert not explain_undeclared(list_differences(arm, baseline, question))


def test_another_processor_stands_against_times_alone() -> None:
    differences = list_differences(make_arm("kv", ledger={"device": "H100"}), make_arm("sft"))
    assert "processor: 1 x A100 vs 1 x H100" in describe_contrast(differences)
    assert not select_undeclared(differences)
    assert [each.field for each in select_undeclared(differences, timing=True)] == ["processor"]


def test_arms_that_a_command_names_one_by_one_may_differ_in_anything() -> None:
    arm = make_arm("kv", ("*",), {"train/lr": 0.1, "student/geometry/layers": 2}, {"texts": "x"})
    assert "train.lr" in describe(arm, make_arm("sft"))
    assert not explain_undeclared(list_differences(arm, make_arm("sft")))


def test_a_comparison_with_an_undeclared_difference_has_no_estimate() -> None:
    arm, baseline = make_arm("kv", config={"train/lr": 0.1}), make_arm("sft")
    for run in (*arm.runs.values(), *baseline.runs.values()):
        run.scores = {"t": make_scores("t", 0.5)}
    one = compare_arms(arm, baseline, ["t"], Settings(resamples=999)).macro
    assert (one.status, one.estimate) == (UNDECLARED, None)
    assert "train.lr: 0.001 vs 0.1" in one.why
