"""Our tasks on real rows of the benchmarks, where a copy stands beside the checkout.

KVDISTILL_BENCHMARKS names another folder. No model: right and wrong answers are written by hand
around each gold one, in the shapes models use.
"""

import os
from functools import cache
from pathlib import Path

import pytest

from kvdistill.evaluate.grading import math_equivalence
from kvdistill.evaluate.harness import load_tasks
from kvdistill.evaluate.isolation import silence_lm_eval
from kvdistill.evaluate.suite import Suite
from kvdistill.evaluate.task_data import get_subject
from tests.evaluate.grading.number_formats import write_responses

BESIDE = Path(__file__).parents[3] / "shared" / "benchmarks"
ROOT = Path(os.environ.get("KVDISTILL_BENCHMARKS", BESIDE))
FOLDERS = {
    "gsm8k": "gsm8k", "math500": "math500", "bbh": "bbh", "bbh_direct": "bbh",
    "truthfulqa": "truthfulqa", "truthfulqa_mc2": "truthfulqa", "cmmlu": "cmmlu", "ceval": "ceval",
}  # fmt: skip
SHAPES = [" so. #### {}", "Thus it is so. The answer is {}.", "**Answer: {}**"]


@cache
def load_real_task(name):
    if not (ROOT / FOLDERS[name]).is_dir():
        pytest.skip(f"no rows of {FOLDERS[name]} in {ROOT.name}; set KVDISTILL_BENCHMARKS")
    with silence_lm_eval():
        tasks, missing = load_tasks(Suite(name="r", tasks=[name], data_root=str(ROOT)), {})
    assert not missing
    return tasks[name]


def grade_output(task, doc, output):
    extract = task.config.filter_list[0]["filter"][0]["filter_fn"]
    return task.process_results(doc, extract([[output]], [doc]))["correct"]


@pytest.mark.parametrize("name", FOLDERS)
def test_every_row_has_its_own_id_and_prompt(name):
    task = load_real_task(name)
    docs = list(task.eval_docs)
    assert len({doc["id"] for doc in docs}) == len(docs)
    assert all(0 <= doc["chance"] < 1 for doc in docs)
    prompts = {task.doc_to_text(doc) for doc in docs}
    assert len(prompts) == len(docs)
    # A trailing space would make the answer's first token another one.
    assert all(prompt.rstrip() == prompt for prompt in prompts)


@pytest.mark.parametrize("name", ["gsm8k", "math500", "bbh", "bbh_direct"])
def test_a_gold_answer_in_any_shape_is_right_and_another_items_is_wrong(name):
    task = load_real_task(name)
    docs = list(task.eval_docs)
    for doc, other in zip(docs, docs[1:] + docs[:1], strict=True):
        for shape in SHAPES + [" {}"] * (name == "bbh_direct"):
            output = shape.format(doc["target"])
            assert grade_output(task, doc, output) == 1.0, output
        subjects = get_subject(doc["id"]), get_subject(other["id"])
        if doc["target"] != other["target"] and subjects[0] == subjects[1]:
            assert grade_output(task, doc, f"#### {other['target']}") == 0.0


@pytest.mark.parametrize("name", ["truthfulqa", "cmmlu", "ceval"])
def test_the_true_choice_is_right_and_the_others_are_wrong(name):
    task = load_real_task(name)
    for doc in task.eval_docs:
        choices = task.doc_to_choice(doc)
        for index in range(len(choices)):
            logs = [(-1.0 if n == index else -2.0, False) for n in range(len(choices))]
            assert task.process_results(doc, logs)["acc"] == float(index == doc["gold"])


def test_a_gold_number_is_read_in_every_format_and_no_other():
    task = load_real_task("gsm8k")
    docs = list(task.eval_docs)
    # Grouped ones among them, as most spellings differ in how they part thousands.
    for doc in docs[:1] + [doc for doc in docs if "," in doc["target"]][:1]:
        number = int(doc["target"].replace(",", ""))
        for spelling, frame, response in write_responses(number, number + 13):
            assert grade_output(task, doc, response) == 1.0, (spelling, frame, response)
            other = {**doc, "target": str(number + 13)}
            assert grade_output(task, other, response) == 0.0, (spelling, frame, response)


def test_a_gold_answer_of_math500_equals_itself_as_mathematics():
    golds = [doc["target"] for doc in load_real_task("math500").eval_docs][::5]
    child = math_equivalence.VerifierProcess()
    unequal = [gold for gold in golds if not child.verify(gold, gold, 10.0)]
    child.close()
    assert unequal == []
