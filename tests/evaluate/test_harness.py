import copy
import dataclasses
import logging
import os
import random

import numpy as np
import pytest
import torch

from kvdistill.errors import UserError
from kvdistill.evaluate.harness import evaluate, load_tasks
from kvdistill.evaluate.suite import Suite
from tests.evaluate.tiny_models import (
    NANO,
    SEVEN,
    Oracle,
    make_tiny_model,
    write_jsonl,
    write_right_answer,
)


@pytest.fixture
def nano(nano_records):
    return Suite(name="nano7", tasks=NANO, batch_size=16, max_gen_toks=24), {"test": nano_records}


@pytest.fixture
def seven(benchmarks):
    return Suite(
        name="seven", tasks=SEVEN, beside=["truthfulqa_mc2"], limit=54, max_gen_toks=40,
        data_root=str(benchmarks), shots={"gsm8k": 0, "math500": 0, "bbh": 0},
    )  # fmt: skip


@pytest.mark.integration
def test_a_model_that_answers_all_of_nano_right_scores_one(nano, oracle, tokenizer):
    result = evaluate(oracle(*nano, write_right_answer), tokenizer, *nano)
    assert {task: score.score for task, score in result.tasks.items()} == dict.fromkeys(NANO, 1.0)
    assert result.macro == result.macro_normalised == 1.0
    assert all(not (i.unparsed or i.truncated or i.empty) for i in result.items)
    assert [result.tasks[task].marked for task in NANO] == [1.0] * 3 + [None] * 4
    assert len(result.items) == len({(i.task, i.item) for i in result.items}) == 7 * 12


@pytest.mark.integration
def test_a_model_that_answers_all_seven_benchmarks_right_scores_one(seven, oracle, tokenizer):
    result = evaluate(oracle(seven, {}, write_right_answer), tokenizer, seven, {})
    assert {task: result.tasks[task].score for task in SEVEN} == dict.fromkeys(SEVEN, 1.0)
    assert result.tasks["truthfulqa_mc2"].score == pytest.approx(1.0)
    assert result.macro == 1.0
    assert result.missing == {}


def test_a_model_that_says_nothing_scores_zero_and_is_called_empty(nano, oracle, tokenizer):
    result = evaluate(oracle(*nano, lambda *_: ""), tokenizer, *nano)
    for task in NANO[:3]:
        score = result.tasks[task]
        assert (score.score, score.empty, score.unparsed, score.truncated) == (0, 1, 1, 0)
        assert score.marked == 0
    for task in NANO[3:]:
        # No letter stands out, so the first is taken, which is right once in four.
        assert result.tasks[task].score == result.tasks[task].chance == 0.25
        assert result.tasks[task].normalised == 0.0


@pytest.mark.integration
def test_a_model_that_says_nothing_scores_zero_on_what_is_written_and_no_better_than_chance_else(
    seven, oracle, tokenizer
):
    result = evaluate(oracle(seven, {}, lambda *_: ""), tokenizer, seven, {})
    for task in ("gsm8k", "math500", "bbh"):
        score = result.tasks[task]
        assert (score.score, score.empty, score.unparsed) == (0, 1, 1)
    tasks, _ = load_tasks(seven, {})
    # All choices are equally unlikely a token, so the shortest is taken.
    assert result.tasks["truthfulqa"].score <= result.tasks["truthfulqa"].chance
    for name in ("gpqa", "cmmlu", "ceval"):
        golds = [tasks[name].doc_to_target(doc) for doc in tasks[name].eval_docs]
        # Every letter ties, so the first is taken.
        assert result.tasks[name].score == golds.count(0) / len(golds)


def test_a_model_whose_choices_tie_gains_nothing_from_the_true_one_standing_first(
    benchmarks, oracle, tokenizer
):
    suite = Suite(name="t", tasks=["truthfulqa"], data_root=str(benchmarks))
    tasks, _ = load_tasks(suite, {})
    golds = [doc["gold"] for doc in tasks["truthfulqa"].eval_docs]
    assert len(set(golds)) > 1


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize("task", ["nano_logic", "nano_truth"])
def test_a_model_that_gives_nan_is_refused_by_the_name_of_the_task(kind, task, nano, tokenizer):
    suite, data = nano
    broken = make_tiny_model(tokenizer, kind)
    with torch.no_grad():
        broken.model.norm.weight[0] = float("nan")
    with pytest.raises(UserError, match=f"task {task}: the model gives non-finite logits"):
        evaluate(broken, tokenizer, dataclasses.replace(suite, tasks=[task]), data)


@pytest.mark.integration
def test_nan_in_one_task_alone_is_refused_by_its_name(nano, oracle, tokenizer):
    class Sick(Oracle):
        def forward(self, input_ids, attention_mask=None, **kwargs):
            out = super().forward(input_ids, **kwargs)
            for row, ids in enumerate(input_ids.tolist()):
                if "nano_exam" in tokenizer.decode(ids):
                    out.logits[row, -1, 5] = float("inf")
            return out

    model = oracle(*nano, write_right_answer)
    model.__class__ = Sick
    with pytest.raises(UserError, match="task nano_exam: the model gives non-finite logits"):
        evaluate(model, tokenizer, *nano)


@pytest.mark.integration
@pytest.mark.parametrize("training", [True, False])
def test_nothing_of_the_process_or_the_model_moves(training, nano, model, tokenizer):
    model.train(training)
    model.config.use_cache = False
    own = model.generation_config
    tokenizer.padding_side = "right"
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    level = logging.getLogger("lm_eval").level
    evaluate(model, tokenizer, *nano)
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()
    assert torch.equal(torch.get_rng_state(), before[2])
    assert model.training is training
    assert model.generation_config is own
    assert model.config.use_cache is False
    assert tokenizer.padding_side == "right"
    assert logging.getLogger("lm_eval").level == level


@pytest.mark.integration
def test_the_terminal_stays_silent(nano, model, tokenizer, capfd):
    evaluate(model, tokenizer, *nano)
    assert capfd.readouterr() == ("", "")


@pytest.mark.integration
def test_a_models_own_generation_settings_do_not_reach_greedy_decoding(nano, tokenizer):
    plain, odd = make_tiny_model(tokenizer), make_tiny_model(tokenizer)
    odd.generation_config.repetition_penalty = 1.9
    odd.generation_config.no_repeat_ngram_size = 1
    odd.generation_config.min_new_tokens = 9
    assert evaluate(plain, tokenizer, *nano).items == evaluate(odd, tokenizer, *nano).items


@pytest.mark.integration
def test_order_of_tasks_and_batch_size_change_no_item(nano, tokenizer):
    suite, data = nano
    suite = dataclasses.replace(suite, limit=6, max_gen_toks=8)
    model = make_tiny_model(tokenizer, "llama", seed=3)
    results = [
        evaluate(model, tokenizer, dataclasses.replace(suite, tasks=tasks, batch_size=size), data)
        for tasks, size in ((NANO, 16), (NANO[::-1], 16), (NANO, 1))
    ]
    rows = [sorted(result.items, key=lambda i: (i.task, i.item)) for result in results]
    assert rows[0] == rows[1] == rows[2]


def test_a_generation_that_runs_out_of_tokens_is_truncated_and_one_that_ends_is_not(
    nano_records, oracle, tokenizer
):
    suite = Suite(name="n", tasks=["nano_arithmetic"], batch_size=5, max_gen_toks=24)
    texts = {0: " #### 0", 1: " well" * 40, 2: " #### 4\nQuestion: and what else is there to it?"}

    def write(task, doc):
        return texts.get(int(doc["id"].split("-")[1]), " no")

    data = {"test": nano_records}
    items = evaluate(oracle(suite, data, write), tokenizer, suite, data).items
    flags = {item.item.split("-")[1]: (item.correct, item.truncated) for item in items}
    assert flags["0"] == (1.0, False)
    assert flags["1"] == (0.0, True)
    assert flags["2"] == (1.0, False)


def test_a_prompt_that_would_lose_its_head_is_refused(nano, model, tokenizer):
    suite, data = nano
    short = dataclasses.replace(suite, max_length=40)
    with pytest.raises(
        UserError, match=r"a prompt of \d+ tokens does not fit into tasks.max_length=40"
    ):
        evaluate(model, tokenizer, short, data)


@pytest.mark.parametrize(
    "row",
    ['{"question": "1?"}', '{"question": "1?", "answer": 2}', "[1]", "5", "[" * 100_000, "null"],
    ids=["a column less", "a number", "a list", "5", "deep", "null"],
)
def test_a_copy_with_other_rows_is_refused_by_its_task(row, tmp_path):
    from kvdistill.errors import ConfigError
    from kvdistill.evaluate.harness import load_tasks

    path = tmp_path / "gsm8k/main/test.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"question": "1 + 1?", "answer": "#### 2"}\n' + row + "\n")
    suite = Suite(name="t", tasks=["gsm8k"], shots={"gsm8k": 0}, data_root=str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"the rows of gsm8k are not|row 2: no answer, only question"
    ):
        load_tasks(suite, {})


@pytest.mark.integration
def test_a_missing_task_leaves_no_macro_average_and_is_named(nano, tokenizer, model, tmp_path):
    suite, data = nano
    lines = data["test"].read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path / "test.jsonl"
    path.write_text("".join(line for line in lines if "nano_exam" not in line), encoding="utf-8")
    result = evaluate(model, tokenizer, suite, {"test": path})
    assert result.macro is None
    assert list(result.missing) == ["nano_exam"]
    assert "no record of task nano_exam" in result.missing["nano_exam"]
    assert set(result.tasks) == set(NANO[:-1])


def test_a_suite_without_any_data_is_refused(nano, tokenizer, model):
    with pytest.raises(UserError, match="no task has data"):
        evaluate(model, tokenizer, nano[0], {})


def test_an_unknown_task_is_refused_with_the_list(tokenizer, model, nano_records):
    suite = Suite(name="x", tasks=["nano_arithmetics"])
    with pytest.raises(UserError, match=r"no task nano_arithmetics. Available: .*nano_arithmetic"):
        evaluate(model, tokenizer, suite, {"test": nano_records})


def test_a_rewritten_file_of_the_same_size_and_time_is_read_anew(tmp_path, tokenizer, model):
    rows = [{"id": "a", "source": "s", "task": "nano_logic", "rationale": "", "answer": "1"}]
    path = write_jsonl(tmp_path / "test.jsonl", [{**rows[0], "question": "One?"}])
    suite = Suite(name="n", tasks=["nano_logic"], max_gen_toks=2)
    stamp = path.stat()
    first = evaluate(model, tokenizer, suite, {"test": path})
    write_jsonl(path, [{**rows[0], "question": "Two?"}])
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert path.stat().st_size == stamp.st_size
    second = evaluate(model, tokenizer, suite, {"test": path})
    assert first.items[0].prompt_hash != second.items[0].prompt_hash
    assert first.data != second.data


@pytest.mark.integration
def test_progress_counts_every_answer(nano, tokenizer, model):
    seen = []
    evaluate(model, tokenizer, *nano, progress=lambda done, total: seen.append((done, total)))
    assert seen[0][0] == 0
    assert {total for _, total in seen} == {3 * 12, 4 * 12 * 4}
    assert sum(done == total for done, total in seen) == 2


def test_the_training_questions_stand_beside_the_test(nano, tokenizer, model):
    suite, data = nano
    beside = ["train_questions", "test_questions"]
    both = dataclasses.replace(suite, tasks=["nano_logic"], beside=beside, limit=14)
    result = evaluate(model, tokenizer, both, {**data, "train": data["test"]})
    assert result.macro == result.tasks["nano_logic"].score
    train = [item for item in result.items if item.task == "train_questions"]
    assert sorted(item.item.partition("/")[0] for item in train) == sorted(NANO * 2)
    assert result.gap == 0.0  # the same file stands on both sides


def test_a_chat_template_that_is_not_there_is_refused(nano, tokenizer, model):
    suite, data = nano
    with pytest.raises(UserError, match=r"^tasks.chat_template=true needs a tokenizer with a chat"):
        evaluate(model, tokenizer, dataclasses.replace(suite, chat_template=True), data)


@pytest.mark.integration
def test_a_chat_template_wraps_every_prompt(nano, tokenizer, model):
    suite, data = nano
    plain = evaluate(model, tokenizer, suite, data)
    chatty = copy.deepcopy(tokenizer)
    chatty.chat_template = "{% for m in messages %}<{{m.role}}>{{m.content}}{% endfor %}<bot>"
    wrapped = evaluate(model, chatty, dataclasses.replace(suite, chat_template=True), data)
    for a, b in zip(plain.items, wrapped.items, strict=True):
        assert a.doc_hash == b.doc_hash
        assert a.prompt_hash != b.prompt_hash
