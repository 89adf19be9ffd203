"""What scoring costs: by hand for one task, and against what was reckoned for the study's suite."""

from typing import Any

import pytest

from tests.estimate.test_run_cost import estimate, plan_command

pytestmark = pytest.mark.usefixtures("hydra")


def price(*overrides: str) -> tuple[Any, Any]:
    """(config, estimate) of the one run of a command."""
    plan = plan_command("references=false", *overrides)
    (run,) = plan.runs.values()
    return run.config, estimate(plan)


def test_writing_reads_weights_and_cache_once_a_step() -> None:
    from kvdistill.estimate.evaluation_cost import estimate_scoring

    config, stated = price(
        "scale=paper", "arm=sft", "tasks=gsm8k_zero", "tasks.limit=null", "tasks.batch_size=8",
        "tasks.beside=[]",
    )  # fmt: skip
    assert config["tasks"]["tasks"] == ["gsm8k_zero"]
    steps = -(-1319 // 8) * 256  # tasks.max_gen_toks of that suite
    dtype = {"float32": 4, "bfloat16": 2}[config["student"]["dtype"]]
    weights = (28 * (2 * 1536 * (1536 + 256) + 3 * 1536 * 8960) + 1536 * 151936) * dtype
    cache = 8 * (600 + 128) * 2 * 28 * 256 * dtype
    cost = estimate_scoring(config, stated)
    assert cost.decoded_bytes == steps * (weights + cache)
    assert cost.launch_s == pytest.approx(steps * 28 * 0.8e-3)


def test_tasks_beside_the_average_and_other_forms_of_a_benchmark_are_counted() -> None:
    from kvdistill.estimate.evaluation_cost import list_scoring_loads

    config, stated = price("scale=paper", "arm=sft", "tasks=seven")
    loads = list(list_scoring_loads(config, stated))
    assert len(loads) == len(config["tasks"]["tasks"]) + len(config["tasks"]["beside"])
    written = sum(load.items for load in loads if load.answer)
    assert written == 1319 + 500 + 6511 + 1319 + 500 + 500  # bbh among them, and what is beside
    assert {load.answer for load in loads} == {0, 256, 512, 1024, 2048}


def test_small_batches_of_one_launch_after_another_take_hours_and_large_ones_do_not() -> None:
    from kvdistill.estimate.run_cost import estimate_run

    hours = []
    for batch in ("tasks.batch_size=16", "tasks.batch_size=auto"):
        config, stated = price("scale=paper", "arm=raw_student", "tasks=seven", batch)
        hours.append(estimate_run(config, 0, stated).evaluation_hours(stated.gpu, stated))
    assert 1 < hours[0] < 12
    assert hours[1] < hours[0] / 4


def test_a_model_that_is_scored_as_it_is_answers_lm_evals_tasks_too() -> None:
    from kvdistill.estimate.evaluation_cost import list_scoring_loads

    loads = []
    for arm in ("arm=sft", "arm=raw_student"):
        config, stated = price("scale=paper", arm, "tasks=seven")
        loads.append([(each.items, each.answer) for each in list_scoring_loads(config, stated)])
    trained, as_it_is = loads
    for load in trained:
        as_it_is.remove(load)
    # gsm8k and math500 in 256 tokens as lm-eval's model class has it, bbh as its file says; of the
    # others choices are compared, as in ours.
    written = [(1319, 256), (500, 256), (6511, 1024)]
    assert sorted(as_it_is) == sorted([*written, (448, 0), (817, 0), (11582, 0), (1346, 0)])


def test_lm_evals_own_task_in_a_suite_has_the_items_of_ours() -> None:
    from kvdistill.estimate.evaluation_cost import list_scoring_loads, list_unsized_tasks

    entries = "tasks.tasks=['builtin:gsm8k','builtin:cmmlu','builtin:piqa']"
    suite = ("tasks=own", entries, "tasks.beside=[]", "arm=sft", "tasks.max_gen_toks=null")
    config, stated = price(*suite)
    loads = [(each.items, each.answer) for each in list_scoring_loads(config, stated)]
    assert loads == [(1319, 256), (11582, 0)]
    assert list_unsized_tasks(config, stated) == ["builtin:piqa"]
    config, stated = price(*suite, "tasks.limit=10", "+estimate.items.piqa=1838")
    loads = [(each.items, each.answer) for each in list_scoring_loads(config, stated)]
    assert loads == [(10, 256), (10, 0), (10, 256)]
    assert list_unsized_tasks(config, stated) == []
