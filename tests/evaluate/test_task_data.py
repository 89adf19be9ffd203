import random

import pytest

from kvdistill.evaluate import benchmarks as rows_of
from kvdistill.evaluate.task_data import (
    MissingDataError,
    assign_ids,
    get_subject,
    hash_rows,
    read_rows,
    sample_rows,
)

ROWS = [
    {"id": f"{subject}/{n}", "text": f"{subject} {n}"}
    for subject in ("law", "art", "logic")
    for n in range(20)
]


def test_a_sample_is_spread_over_the_subjects():
    for number in (3, 7, 31):
        sampled = [get_subject(row["id"]) for row in sample_rows(ROWS, number)]
        counts = [sampled.count(subject) for subject in ("law", "art", "logic")]
        assert sum(counts) == number
        assert max(counts) - min(counts) <= 1


def test_a_smaller_sample_lies_within_a_larger_one_and_file_order_does_not_matter():
    shuffled = random.Random(1).sample(ROWS, len(ROWS))
    small, large = sample_rows(ROWS, 10), sample_rows(shuffled, 25)
    assert {row["id"] for row in small} < {row["id"] for row in large}
    assert sample_rows(ROWS, 1000) == sample_rows(ROWS, None) == ROWS


def test_an_id_stands_for_the_text_and_a_text_that_comes_again_is_numbered():
    rows = assign_ids([{"q": "one"}, {"q": "two"}, {"q": "one"}], "q", "law")
    first, second, third = (row["id"] for row in rows)
    assert third == f"{first}-2"
    assert len({first, second, third}) == 3
    assert get_subject(first) == "law"
    assert [r["id"] for r in assign_ids([{"q": "two"}], "q", "law")] == [second]


def test_the_hash_of_the_data_sees_every_field_and_the_order():
    assert hash_rows([{"a": 1, "b": 2}]) == hash_rows([{"b": 2, "a": 1}])
    assert hash_rows([{"a": 1}]) != hash_rows([{"a": 2}])
    assert hash_rows([{"a": 1}, {"a": 2}]) != hash_rows([{"a": 2}, {"a": 1}])


def test_a_local_folder_without_the_task_is_named(tmp_path):
    place = {"repo": "openai/gsm8k", "folder": "gsm8k", "config": "main", "split": "test"}
    with pytest.raises(MissingDataError, match=r"no gsm8k/main/test.jsonl there. Put a copy"):
        read_rows(**place, data_root=str(tmp_path))


def test_a_record_with_lettered_options_is_a_choice_and_one_without_is_not():
    fields = {"id": "1", "task": "t"}
    choice = rows_of.parse_record({**fields, "question": "Q\nA. x\nB. y", "answer": "B"})
    assert (choice["letters"], choice["chance"]) == (["A", "B"], 0.5)
    for answer in ("(B)", "B. y", "\u7b54\u6848\u662fB"):
        record = {**fields, "question": "Q\n(A) x\n(B) y", "answer": answer}
        assert rows_of.parse_record(record)["target"] == "B"
    free = rows_of.parse_record({**fields, "question": "A. Smith has 3.", "answer": "3"})
    assert (free["letters"], free["chance"]) == ([], 0.0)


def test_worked_examples_come_from_the_benchmarks_own_pool(benchmarks):
    where = {"repo": "", "folder": "gsm8k", "config": "main", "split": "test"}
    docs = rows_of.load_gsm8k(limit=2, shots=2, pool="train", data_root=str(benchmarks), **where)[
        "test"
    ]
    assert [shot["target"] for shot in docs[0]["shots"]] == ["0", "2"]
    assert docs[0]["target"] not in ("0", "2")
