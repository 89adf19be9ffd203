"""Every generated answer solved again from its question alone, and the same rows everywhere."""

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from kvdistill.data.contamination.normalise import keep_alphanumerics
from kvdistill.data.leakage import Document, DocumentSet, Leakage
from kvdistill.data.sources import nano_chinese, nano_english
from kvdistill.data.sources.nano import FAMILIES, Nano
from kvdistill.errors import ConfigError

LETTERED = ("nano_choice", "nano_truth", "nano_chinese", "nano_exam")
SOURCE = Nano(rows=800, seed=0)


def list_numbers(text):
    return [int(number) for number in re.findall(r"\d+", text)]


def solve_arithmetic(question):
    first, *rest = list_numbers(question)
    if len(rest) == 2:
        return str(first * rest[0] + rest[1])
    if " gives " in question:  # `gives 2 of 5`
        return str(rest[0] - first)
    less = any(word in question for word in ("loses", "took", "away"))
    return str(first - rest[0] if less else first + rest[0])


def solve_algebra(question):
    left, name, right = re.search(r"(\S*?([a-z])\S*)=(\d+)", question).groups()
    left = re.sub(rf"(\d){name}", rf"\1*{name}", left)
    [answer] = [x for x in range(100) if eval(left, {name: x}) == int(right)]
    return str(answer)


def solve_logic(question):
    comparisons, rest = question.split(". ", 1)
    pairs = re.findall(r"(\w+)(?: is \w+)? than (\w+)", comparisons)
    names = {name for pair in pairs for name in pair}
    [superlative] = re.findall(r"oldest|youngest|tallest|shortest", rest)
    for order in itertools.permutations(names):
        if all(order.index(more) < order.index(less) for more, less in pairs):
            return order[0] if superlative in ("oldest", "tallest") else order[-1]
    raise AssertionError(question)


def split_options(record):
    stem, *lines = record.question.split("\n")
    assert [line[:3] for line in lines] == ["A. ", "B. ", "C. ", "D. "]
    return stem, {line[0]: line[3:] for line in lines}


def fits(task, stem, option):
    """Whether an option answers the stem, looked up or reckoned anew."""
    if task == "nano_exam":
        a, b = list_numbers(stem)
        less = any(sign in stem for sign in "减拿去")
        return int(option) == (a - b if less else a + b)
    if task == "nano_truth":
        [thing] = [name for name in nano_english.MISBELIEFS if re.search(rf"\b{name}\b", stem)]
        return option == nano_english.MISBELIEFS[thing][0]
    kinds = nano_english.KINDS if task == "nano_choice" else nano_chinese.KINDS
    if task == "nano_chinese":
        return any(thing in stem for thing in kinds[option])
    return any(re.search(rf"\b{thing}\b", stem) for thing in kinds[option])


@pytest.mark.integration
@pytest.mark.parametrize("task", ["arithmetic", "algebra", "logic"])
def test_a_free_answer_is_what_its_question_works_out_to(task):
    solve = {
        "arithmetic": solve_arithmetic,
        "algebra": solve_algebra,
        "logic": solve_logic,
    }[task]
    for record in SOURCE.generate_family(f"nano_{task}"):
        assert solve(record.question) == record.answer, record


@pytest.mark.integration
@pytest.mark.parametrize("task", LETTERED)
def test_exactly_one_option_fits_and_its_letter_is_the_answer(task):
    for record in SOURCE.generate_family(task):
        stem, lettered = split_options(record)
        right = [letter for letter, option in lettered.items() if fits(task, stem, option)]
        assert right == [record.answer], record
        assert len(set(lettered.values())) == 4, record


def test_the_misbelief_is_always_among_the_options():
    for record in SOURCE.generate_family("nano_truth"):
        stem, lettered = split_options(record)
        [thing] = [name for name in nano_english.MISBELIEFS if re.search(rf"\b{name}\b", stem)]
        assert nano_english.MISBELIEFS[thing][1] in lettered.values()


def test_every_equation_in_a_rationale_holds():
    seen = 0
    for record in SOURCE.records():
        for left, right in re.findall(r"([\d+*/-]+)=(\d+)", record.rationale):
            assert eval(left) == int(right), record
            seen += 1
    assert seen > 2000


@pytest.mark.parametrize("task", LETTERED)
def test_no_letter_is_worth_guessing(task):
    counts = Counter(record.answer for record in SOURCE.generate_family(task))
    assert max(counts.values()) < 0.33 * 800


def test_no_question_comes_twice_however_it_is_written():
    questions = [keep_alphanumerics(record.question) for record in SOURCE.records()]
    assert len(set(questions)) == len(questions) == 7 * 800


@pytest.mark.integration
@pytest.mark.parametrize("source", [SOURCE, Nano(rows=300, seed=7)])
def test_no_two_questions_are_near_copies_or_one_template_with_other_numbers(source):
    """By the leak check itself: wherever a split cuts, its test part is clean."""
    records = source.records()
    rows = [Document(record.id, record.question) for record in records]
    report = Leakage()([DocumentSet("rows", "train", rows)])
    assert {pair.method: pair.hits for pair in report.pairs} == {
        "exact": 0, "ngram": 0, "template": 0,
    }  # fmt: skip


def test_ids_are_unique_and_tasks_are_the_seven():
    records = Nano(rows=20, seed=3).records()
    assert len({record.id for record in records}) == 140
    assert Counter(record.task for record in records) == dict.fromkeys(FAMILIES, 20)


def test_fewer_rows_are_the_first_of_more():
    assert SOURCE.generate_family("nano_logic")[:10] == Nano(rows=10, seed=0).generate_family(
        "nano_logic"
    )


def test_another_seed_is_another_draw():
    first, second = (Nano(rows=20, seed=seed).generate_family("nano_exam") for seed in (0, 1))
    assert {record.question for record in first} != {record.question for record in second}


def hash_records(records):
    text = json.dumps([vars(record) for record in records])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


GOLDEN = "7c7420533d9e7cc2"


def test_rows_are_the_same_on_every_machine():
    assert hash_records(SOURCE.records()) == GOLDEN


@pytest.mark.integration
def test_rows_do_not_depend_on_the_hash_seed_of_the_process():
    code = (
        "from kvdistill.data.sources.nano import Nano;"
        "print([r.question for r in Nano(rows=5, seed=0).records()])"
    )
    root = Path(__file__).parents[3]
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root / "src")},
            capture_output=True, text=True, check=True, encoding="utf-8",
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert printed[0] == printed[1] != ""


@pytest.mark.integration
def test_more_rows_than_a_family_has_are_refused():
    with pytest.raises(ConfigError, match=r"rows=900 is more than nano_exam can make without near"):
        Nano(rows=900, seed=0).generate_family("nano_exam")


def test_no_rows_are_refused():
    with pytest.raises(ConfigError, match=r"data.source.rows must be from 1 to 100000, got 0"):
        Nano(rows=0, seed=0)
