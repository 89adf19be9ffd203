"""Our tasks on real rows of the benchmarks, where a copy stands beside the checkout.

KVDISTILL_BENCHMARKS names another folder. No model: right and wrong answers are written by hand
around each gold one, in the shapes models use.
"""

import os
from pathlib import Path

import pytest

from kvdistill.evaluate import mathcheck
from kvdistill.evaluate.harness import load_tasks
from kvdistill.evaluate.suite import Suite
from kvdistill.evaluate.undisturbed import quiet

BESIDE = Path(__file__).parents[3] / "shared" / "benchmarks"
ROOT = Path(os.environ.get("KVDISTILL_BENCHMARKS", BESIDE))
FOLDERS = {
    "gsm8k": "gsm8k", "math500": "math500", "bbh": "bbh", "bbh_direct": "bbh",
    "truthfulqa": "truthfulqa", "truthfulqa_mc2": "truthfulqa", "cmmlu": "cmmlu", "ceval": "ceval",
}  # fmt: skip
SHAPES = [" so. #### {}", "Thus it is so. The answer is {}.", "**Answer: {}**", "Hence: {}"]


@pytest.fixture(scope="module", params=FOLDERS)
def task(request):
    name = request.param
    if not (ROOT / FOLDERS[name]).is_dir():
        pytest.skip(f"no rows of {FOLDERS[name]} in {ROOT.name}; set KVDISTILL_BENCHMARKS")
    with quiet():
        tasks, missing = load_tasks(Suite(name="r", tasks=[name], data_root=str(ROOT)), {})
    assert not missing
    return tasks[name]


def verdict(task, doc, output):
    extract = task.config.filter_list[0]["filter"][0]["filter_fn"]
    return task.process_results(doc, extract([[output]], [doc]))["correct"]


def test_every_row_has_its_own_id_and_a_prompt_that_does_not_tell_the_answer(task):
    docs = list(task.eval_docs)
    assert len({doc["id"] for doc in docs}) == len(docs)
    assert all(0 <= doc["chance"] < 1 for doc in docs)
    prompts = {task.doc_to_text(doc) for doc in docs}
    assert len(prompts) == len(docs)
    assert all(prompt.rstrip() == prompt for prompt in prompts)


def test_a_gold_answer_in_any_shape_is_right_and_another_items_is_wrong(task):
    if task.OUTPUT_TYPE != "generate_until":
        pytest.skip("letters and choices are not extracted")
    docs = list(task.eval_docs)
    shapes = SHAPES if task.config.task != "bbh_direct" else [" {}", *SHAPES[:3]]
    for doc, other in zip(docs, docs[1:] + docs[:1], strict=True):
        for shape in shapes[: 3 if task.config.task == "math500" else 4]:
            output = shape.format(doc["target"])
            assert verdict(task, doc, output) == 1.0, output
        if doc["target"] != other["target"] and doc["id"][:9] == other["id"][:9]:
            assert verdict(task, doc, f"#### {other['target']}") == 0.0


def test_the_true_choice_is_right_and_the_others_are_wrong(task):
    if task.OUTPUT_TYPE != "multiple_choice" or task.config.task == "truthfulqa_mc2":
        pytest.skip("a free answer, or no single true choice")
    for doc in task.eval_docs:
        choices = task.doc_to_choice(doc)
        for index in range(len(choices)):
            logs = [(-1.0 if n == index else -2.0, False) for n in range(len(choices))]
            assert task.process_results(doc, logs)["acc"] == float(index == doc["gold"])


def test_a_gold_answer_of_math500_equals_itself_as_mathematics(task):
    if task.config.task != "math500":
        pytest.skip("no mathematics")
    docs = list(task.eval_docs)[::5]
    same = [mathcheck._child().ask(doc["target"], doc["target"], 10.0) for doc in docs]
    mathcheck.close()
    assert sum(same) == len(docs), [d["target"] for d, s in zip(docs, same, strict=True) if not s]
