"""Log-probabilities of choices, made by hand, with their verdicts."""

import math

import pytest

from kvdistill.evaluate.benchmarks import order_options
from kvdistill.evaluate.grading.graders import grade_byte_probability, grade_probability_mass
from kvdistill.evaluate.harness import load_tasks
from kvdistill.evaluate.suite import Suite

VECTORS = [
    ([-1.0, -2.0, -3.0, -4.0], 0),
    ([-2.0, -1.0, -3.0, -4.0], 1),
    ([-5.0, -4.0, -1.0, -4.0], 2),
    ([-5.0, -4.0, -3.0, -2.0], 3),
    ([-2.0, -2.0, -2.0, -2.0], 0),  # a tie goes to the first letter, wherever the gold one is
    ([-9.0, -2.0, -2.0, -9.0], 1),
    ([-math.inf, -math.inf, -1.0, -math.inf], 2),
    ([-1e-9, -1e-8, -1e-7, -1e-6], 0),
    ([-1e4, -1e4, -1e4, -9.9e3], 3),
    ([-0.1, -0.09999, -0.2, -0.3], 1),
]


@pytest.mark.parametrize("name", ["gpqa", "cmmlu", "ceval"])
@pytest.mark.parametrize(("logs", "chosen"), VECTORS)
def test_the_likeliest_letter_is_the_answer(name, logs, chosen, benchmarks):
    tasks, _ = load_tasks(Suite(name="x", tasks=[name], limit=5, data_root=str(benchmarks)), {})
    task = tasks[name]
    for doc in task.eval_docs:
        verdict = task.process_results(doc, [(log, False) for log in logs])
        assert verdict == {"acc": float(task.doc_to_target(doc) == chosen)}


CHOICES = [
    ([-1.0, -2.0, -3.0], 0),
    ([-3.0, -1.0, -2.0], 1),
    ([-3.0, -2.0, -1.0], 2),
    ([-200.0, -199.0, -250.0], 1),  # long answers: sums over many tokens, not averages
    ([-40.0, -5.0, -60.0], 1),  # a short lie beats a long truth; MC1 does not divide by length
    ([-2.0, -2.0, -2.0], 0),
    ([-9.0, -2.0, -2.0], 1),
    ([-math.inf, -math.inf, -1.0], 2),
    ([-1e-9, -1e-8, -1e-7], 0),
    ([-0.1, -0.09999, -0.2], 1),
]


@pytest.mark.parametrize(("logs", "chosen"), CHOICES)
def test_the_likeliest_choice_is_the_answer_wherever_the_true_one_stands(logs, chosen, benchmarks):
    suite = Suite(name="x", tasks=["truthfulqa"], data_root=str(benchmarks))
    task = load_tasks(suite, {})[0]["truthfulqa"]
    golds = {task.doc_to_target(doc) for doc in task.eval_docs}
    assert len(golds) > 1
    for doc in task.eval_docs:
        verdict = task.process_results(doc, [(log, False) for log in logs])
        assert verdict == {"acc": float(doc["choices"][chosen].startswith("Fact"))}


def test_gpqa_gives_its_options_in_an_order_of_the_question_alone(benchmarks):
    suite = Suite(name="x", tasks=["gpqa"], data_root=str(benchmarks))
    (first, _), (second, _) = load_tasks(suite, {}), load_tasks(suite, {})
    docs = list(first["gpqa"].eval_docs)
    assert docs == list(second["gpqa"].eval_docs)
    assert len({doc["gold"] for doc in docs}) > 1
    for doc in docs:
        number = doc["question"].split()[-1].rstrip("?")
        assert doc["options"][doc["gold"]] == number
        assert sorted(doc["options"]) == sorted(str(int(number) + k) for k in range(4))


def test_an_order_does_not_depend_on_how_the_options_came():
    options = [("a", 1), ("b", 0), ("c", 0)]
    assert order_options(options, "q") == order_options(options[::-1], "q")
    assert {tuple(order_options(options, f"q{n}")) for n in range(30)} == {
        (x, y, z)
        for x in options
        for y in options
        for z in options
        if len({x, y, z}) == 3
    }  # fmt: skip


@pytest.mark.parametrize(
    ("logs", "labels", "mass"),
    [
        ([0.0, 0.0], [1, 0], 0.5),
        ([0.0, 0.0, 0.0, 0.0], [1, 1, 0, 0], 0.5),
        ([math.log(0.3), math.log(0.1)], [1, 0], 0.75),
        ([math.log(0.3), math.log(0.1)], [0, 1], 0.25),
        ([-1000.0, -1000.0], [1, 0], 0.5),  # neither may underflow to nothing
        ([-2000.0, -1000.0], [1, 0], 0.0),
        ([-1.0, -math.inf], [1, 0], 1.0),
        ([-1.0, -math.inf], [0, 1], 0.0),
        ([math.log(1), math.log(2), math.log(3)], [0, 1, 1], 5 / 6),
        ([-3.0], [1], 1.0),
    ],
)
def test_the_mass_on_true_choices(logs, labels, mass):
    verdict = grade_probability_mass({"labels": labels}, [(log, False) for log in logs])
    assert verdict == {"correct": pytest.approx(mass)}


def test_a_likelihood_is_a_probability_a_byte_of_the_worked_answer(benchmarks):
    suite = Suite(name="x", tasks=["gsm8k_likelihood"], limit=2, data_root=str(benchmarks))
    task = load_tasks(suite, {})[0]["gsm8k_likelihood"]
    for doc in task.eval_docs:
        answer = int(doc["target"])
        assert doc["worked"] == f"{answer // 2}+{answer // 2} #### {answer}"
        assert task.doc_to_choice(doc) == [doc["worked"]]
        length = len(doc["worked"]) + 1  # the space before it is scored too
        verdict = task.process_results(doc, [(length * math.log(0.25), False)])
        assert verdict == {"correct": pytest.approx(0.25)}
    assert grade_byte_probability({"worked": "\u9898"}, [(4 * math.log(0.5), False)]) == {
        "correct": pytest.approx(0.5)  # three bytes and a space
    }


@pytest.mark.parametrize("exam", ["ceval", "cmmlu"])
def test_a_written_exam_asks_the_same_rows_in_the_same_words(exam, benchmarks):
    written = f"{exam}_written"
    suite = Suite(
        name="x", tasks=[exam, written], limit=7, shots={exam: 2, written: 2},
        data_root=str(benchmarks),
    )  # fmt: skip
    tasks, missing = load_tasks(suite, {})
    assert not missing
    letters, own = tasks[exam], tasks[written]
    assert own.OUTPUT_TYPE == "generate_until"
    assert own.config.generation_kwargs["max_gen_toks"] == 32
    for one, other in zip(letters.eval_docs, own.eval_docs, strict=True):
        assert (one["id"], letters.doc_to_text(one)) == (other["id"], own.doc_to_text(other))
        assert own.doc_to_target(other) == "ABCD"[letters.doc_to_target(one)]
