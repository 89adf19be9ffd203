"""Published examples are those that lm-eval ships, and no others under their name."""

import json

import pytest

from kvdistill.errors import ConfigError
from kvdistill.evaluate import benchmarks as rows_of
from kvdistill.evaluate import exemplars
from kvdistill.evaluate.exemplars import read_bbh_shots, read_math_shots
from kvdistill.evaluate.harness import load_tasks
from kvdistill.evaluate.isolation import silence_lm_eval
from kvdistill.evaluate.suite import Suite
from tests.evaluate.tiny_models import list_subjects

PUBLISHED = {"gsm8k": 4, "math500": 4, "bbh": 3, "cmmlu": 5, "ceval": 5}


@pytest.fixture
def no_examples(tmp_path, monkeypatch):
    """An lm-eval that ships none; nothing that was read before is remembered."""
    monkeypatch.setattr(exemplars, "locate_lm_eval", lambda: tmp_path)
    for read in (read_math_shots, read_bbh_shots):
        read.cache_clear()
    yield tmp_path
    for read in (read_math_shots, read_bbh_shots):
        read.cache_clear()


def load_prompts(benchmarks, *names, **more):
    suite = Suite(name="s", tasks=names, data_root=str(benchmarks), **more)
    with silence_lm_eval():
        tasks, missing = load_tasks(suite, {})
    assert not missing
    return {name: task.doc_to_text(task.eval_docs[0]) for name, task in tasks.items()}


def test_the_published_tasks_show_as_many_examples_as_published(benchmarks):
    prompts = load_prompts(benchmarks, *PUBLISHED)
    marks = {"gsm8k": "####", "math500": "I hope it is correct.", "bbh": "So the answer is"}
    marks |= dict.fromkeys(("cmmlu", "ceval"), "\u7b54\u6848\uff1a ")
    counts = {name: prompts[name].count(mark) for name, mark in marks.items()}
    assert counts == PUBLISHED
    assert prompts["math500"].endswith("Solution:")
    assert prompts["bbh"].endswith("A: Let's think step by step.")


@pytest.mark.parametrize("name", ["gsm8k", "math500", "bbh"])
def test_the_zero_shot_tasks_show_none_and_refuse_to(benchmarks, name):
    prompt = load_prompts(benchmarks, f"{name}_zero")[f"{name}_zero"]
    assert prompt.count("Question:") == 1
    assert prompt.endswith("Reasoning:")
    with pytest.raises(ConfigError, match=rf"tasks.shots.{name}_zero=2: it is {name} without"):
        Suite(name="s", tasks=[f"{name}_zero"], shots={f"{name}_zero": 2})


@pytest.mark.parametrize(
    ("task", "shots", "message"),
    [
        ("truthfulqa", 5, "its six examples are the paper's"),
        ("gpqa", 5, "all its rows are scored"),
        ("nano_logic", 1, "no pool of worked examples"),
        ("test_questions", 1, "no pool of worked examples"),
        ("math500", 5, "there are 4 at most"),
        ("bbh_direct", 4, "there are 3 at most"),
        ("gsm8k", -1, "must be at least 0"),
    ],
)
def test_examples_that_a_task_cannot_show_are_refused_by_name(task, shots, message):
    with pytest.raises(ConfigError, match=rf"tasks\.shots\.{task}={shots}: .*{message}"):
        Suite(name="s", tasks=[task], shots={task: shots})


@pytest.mark.parametrize(
    ("task", "mark"),
    [
        ("gsm8k", "Question:"), ("gsm8k_direct", "Question:"), ("gsm8k_likelihood", "Question:"),
        ("math500", "Problem:"), ("math500_direct", "Question:"), ("bbh", "Q: "),
        ("bbh_direct", "Question:"), ("cmmlu", "\nD. "), ("ceval", "\nD. "),
    ],
)  # fmt: skip
def test_every_task_that_takes_shots_shows_them(benchmarks, task, mark):
    for shots in (0, 2):
        prompt = load_prompts(benchmarks, task, shots={task: shots})[task]
        assert prompt.count(mark) == shots + 1


def test_more_shots_than_the_pool_has_are_refused_with_its_size(benchmarks):
    with pytest.raises(ConfigError, match="the train part of gsm8k has 6 rows to show"):
        load_prompts(benchmarks, "gsm8k", shots={"gsm8k": 7})


def test_an_lm_eval_without_the_examples_or_with_others_is_refused_with_the_way_out(no_examples):
    for read in (read_math_shots, lambda: read_bbh_shots(tuple(list_subjects("bbh")))):
        with pytest.raises(ConfigError, match=r"No such file .*tasks=seven_zero"):
            read()
    folder = no_examples / "minerva_math"
    folder.mkdir()
    samples = [{"problem": "1 + 1", "solution": "$\\boxed{3}$"}]
    text = f"raise ImportError\n\n\ndef list_fewshot_samples():\n    return {json.dumps(samples)}\n"
    (folder / "utils.py").write_text(text)
    with pytest.raises(ConfigError, match=r"has other examples \(digest \w{16}\)"):
        read_math_shots()


def test_an_item_that_is_shown_is_not_asked(benchmarks, tmp_path):
    shown = read_bbh_shots(tuple(list_subjects("bbh")))["word_sorting"][1][0]
    for subject in list_subjects("bbh"):
        rows = (benchmarks / f"bbh/{subject}/test.jsonl").read_text(encoding="utf-8")
        extra = {"input": f"  {shown['input']}\n", "target": "x"}
        (tmp_path / f"bbh/{subject}").mkdir(parents=True)
        path = tmp_path / f"bbh/{subject}/test.jsonl"
        path.write_text(rows + (json.dumps(extra) + "\n") * (subject == "word_sorting"), "utf-8")
    subjects = dict.fromkeys(list_subjects("bbh"), "Do it.")
    where = {"repo": "", "folder": "bbh", "split": "test", "data_root": str(tmp_path)}
    counts = [
        len(rows_of.load_bbh(limit=None, shots=shots, subjects=subjects, **where)["test"])
        for shots in (0, 3)
    ]
    assert counts == [55, 54]
