"""Writing answers costs what reading and writing their tokens costs, once or in every n-th step."""

import pytest

pytestmark = pytest.mark.usefixtures("hydra")


def compose_with_estimate(*overrides: str):
    from kvdistill.config.compose import compose
    from kvdistill.config.schema import read_group

    config = compose(list(overrides))
    return config, read_group("estimate", config["estimate"])


def test_a_teachers_answers_cost_a_forward_over_each_text_and_its_writing() -> None:
    from kvdistill.estimate.answers_cost import estimate_answers
    from kvdistill.geometry import Geometry
    from kvdistill.plan import flops
    from kvdistill.plan.matching.count_texts import count_texts

    config, estimate = compose_with_estimate("arm=sequence_kd")
    teacher = config["teachers"]["a"]
    cost = estimate_answers(config, teacher, estimate)
    load = flops.TokenLoad.nominal(count_texts(config) * 64, 64)
    assert cost.teachers == flops.forward_flops(Geometry.from_node(teacher), load)
    assert cost.written_bytes > 0
    assert cost.evaluation_hours(estimate.gpu, estimate) == 0
    assert cost.hours(estimate.gpu, estimate) > 0
    short, _ = compose_with_estimate("arm=sequence_kd", "data.decoding.max_new_tokens=4")
    assert estimate_answers(short, teacher, estimate).written_bytes < cost.written_bytes


def test_own_texts_are_paid_in_the_steps_that_have_them() -> None:
    from kvdistill.estimate.answers_cost import estimate_own_writing
    from kvdistill.estimate.run_cost import Cost, estimate_run

    plain, estimate = compose_with_estimate()
    half, _ = compose_with_estimate("arm=on_policy_kv")
    every, _ = compose_with_estimate("arm=on_policy_kv", "on_policy.every=1")
    assert estimate_own_writing(plain, 300, estimate) == Cost()
    costs = [estimate_own_writing(config, 300, estimate) for config in (half, every)]
    assert costs[1].written_bytes == 2 * costs[0].written_bytes > 0
    runs = [estimate_run(config, 300, estimate) for config in (plain, half, every)]
    assert runs[2].student - runs[0].student == 2 * (runs[1].student - runs[0].student) > 0
    # Teachers read as many own texts as they would read given ones.
    assert runs[0].teachers == runs[1].teachers == runs[2].teachers
    few, _ = compose_with_estimate("arm=on_policy_kv", "on_policy.every=1", "on_policy.texts=16")
    read = estimate_run(few, 300, estimate).teachers
    assert read == pytest.approx(runs[0].teachers / 4, rel=1e-3)


def test_a_plan_counts_each_artefact_of_answers_once() -> None:
    from pathlib import Path

    from kvdistill.config.compose import compose
    from kvdistill.estimate.plan_cost import list_teacher_artifacts
    from kvdistill.plan.command_plan import Plan

    plan = Plan(Path(), "s")
    for overrides in (["seed=1"], ["seed=2"], ["data.answers=right_teacher"]):
        plan.config = plan.add(compose(["arm=sequence_kd", *overrides])).config
    assert len(list_teacher_artifacts(plan, "answers")) == 2


def test_a_matched_budget_counts_own_texts() -> None:
    from kvdistill.plan.matching.run_flops import count_own_flops, count_step_flops

    plain, _ = compose_with_estimate()
    own, _ = compose_with_estimate("arm=on_policy_kv")
    added = count_own_flops(own)
    assert count_step_flops(own) - count_step_flops(plain) == added.student + added.teachers
    assert 0 < added.writing < added.student
