"""Tiny models, a tokenizer and generated rows in the schemas of the benchmarks."""

import pytest

from kvdistill.evaluate import harness
from tests.evaluate.tiny_models import (
    NANO,
    Oracle,
    byte_tokenizer,
    list_subjects,
    make_tiny_model,
    write_jsonl,
)


@pytest.fixture(scope="session")
def tokenizer():
    return byte_tokenizer()


@pytest.fixture
def model(tokenizer):
    return make_tiny_model(tokenizer)


@pytest.fixture(scope="session")
def oracle(tokenizer):
    """Builds a model that answers a suite's items with `write(task name, document)`."""
    config = make_tiny_model(tokenizer, "llama").config

    def build(suite, data, write):
        tasks, missing = harness.load_tasks(suite, data)
        assert not missing
        pairs = [
            (task.doc_to_text(doc), write(task, doc))
            for task in tasks.values()
            for doc in task.eval_docs
        ]
        return Oracle(config).learn(tokenizer, pairs)

    return build


@pytest.fixture(scope="session")
def nano_records(tmp_path_factory):
    """Twelve records of each nano family, in a split artefact's file."""
    rows = []
    for family in NANO:
        letters = family in NANO[3:]
        for i in range(12):
            options = "".join(f"\n{letter}. option {letter}{i}" for letter in "ABCD")
            rows.append(
                {
                    "id": f"{family}-{i}",
                    "source": "nano",
                    "task": family,
                    "question": f"How much is {i} and {i} in {family}?" + options * letters,
                    "rationale": f"{i}+{i}={2 * i}.",
                    "answer": "ABCD"[i % 4] if letters else str(2 * i),
                }
            )
    return write_jsonl(tmp_path_factory.mktemp("split") / "test.jsonl", rows)


@pytest.fixture(scope="session")
def benchmarks(tmp_path_factory):
    """A data root with generated rows in each benchmark's schema, GPQA's among them."""
    root = tmp_path_factory.mktemp("benchmarks")
    for split, numbers in (("train", range(6)), ("test", range(6, 12))):
        rows = [
            {"question": f"Ann has {n} pens and gets {n} more.", "answer": f"{n}+{n}\n#### {2 * n}"}
            for n in numbers
        ]
        write_jsonl(root / f"gsm8k/main/{split}.jsonl", rows)
    rows = [
        {
            "problem": f"Halve ${n}$.", "solution": "", "answer": f"\\frac{{{n}}}{{2}}",
            "subject": ("Algebra", "Number Theory")[n % 2], "level": 1, "unique_id": f"t/{n}.json",
        }
        for n in (1, 3, 5, 7)
    ]  # fmt: skip
    write_jsonl(root / "math500/test.jsonl", rows)
    golds = {"boolean_expressions": "True", "object_counting": "7", "word_sorting": "ant bee cow"}
    golds |= {"dyck_languages": "] )", "navigate": "No", "formal_fallacies": "invalid"}
    for subtask in list_subjects("bbh"):
        gold = golds.get(subtask, "(B)")
        options = "\nOptions:\n(A) one\n(B) two\n(C) three" * (gold == "(B)")
        rows = [{"input": f"Is it {n}?{options}", "target": gold} for n in range(2)]
        write_jsonl(root / f"bbh/{subtask}/test.jsonl", rows)
    rows = [
        {"Question": f"Which is {n}?", "Correct Answer": f"{n}"}
        | {f"Incorrect Answer {k}": f"{n + k}" for k in (1, 2, 3)}
        for n in range(6)
    ]
    write_jsonl(root / "gpqa/gpqa_main/train.jsonl", rows)
    rows = [
        {
            "question": f"What happens {n} times?",
            "mc1_targets": {"choices": [f"Fact {n}", f"Myth {n}", "Magic"], "labels": [1, 0, 0]},
            "mc2_targets": {"choices": ["Fact", "Truth", "Myth", "Magic"], "labels": [1, 1, 0, 0]},
        }
        for n in range(6)
    ]
    write_jsonl(root / "truthfulqa/multiple_choice/validation.jsonl", rows)
    for folder, split, question, answer in (
        ("cmmlu", "test", "Question", "Answer"),
        ("ceval", "val", "question", "answer"),
    ):
        for subject in list_subjects(folder):
            for part, numbers in (("dev", range(5)), (split, range(5, 7))):
                rows = [
                    {
                        question: f"题 {subject} {n}",
                        **dict.fromkeys("ABCD", "x"),
                        answer: "ABCD"[n % 4],
                    }
                    for n in numbers
                ]
                write_jsonl(root / f"{folder}/{subject}/{part}.jsonl", rows)
    return root
