"""What is kept of an evaluation, and for whom."""

import dataclasses

import pytest
import torch

from kvdistill.evaluate.harness import evaluate
from kvdistill.evaluate.response_cache import CachedResponse, ResponseCache, hash_model
from kvdistill.evaluate.suite import Suite
from tests.evaluate.tiny_models import make_tiny_model


@pytest.fixture
def suite():
    tasks = ["nano_arithmetic", "nano_choice"]
    return Suite(name="n", tasks=tasks, batch_size=4, max_gen_toks=12)


def count_forwards(model):
    """Counts the model's forwards from here on."""
    count = []
    model.register_forward_hook(lambda *_: count.append(1))
    return count


@pytest.mark.integration
def test_what_is_kept_is_not_computed_again(suite, tokenizer, nano_records, tmp_path):
    model, data = make_tiny_model(tokenizer), {"test": nano_records}
    first = evaluate(model, tokenizer, suite, data, cache=tmp_path)
    count = count_forwards(model)
    assert evaluate(model, tokenizer, suite, data, cache=tmp_path) == first
    assert count == []
    more = dataclasses.replace(suite, tasks=[*suite.tasks, "nano_truth"])
    evaluate(model, tokenizer, more, data, cache=tmp_path)
    # Twelve new items in fours. A group of letters is one forward: here " A" is one token, and the
    # other three are two.
    assert len(count) == 6


@pytest.mark.integration
def test_another_model_is_not_served_the_firsts_answers(suite, tokenizer, nano_records, tmp_path):
    data = {"test": nano_records}
    first, second = make_tiny_model(tokenizer, seed=1), make_tiny_model(tokenizer, seed=2)
    alone = evaluate(second, tokenizer, suite, data)
    evaluate(first, tokenizer, suite, data, cache=tmp_path)
    assert evaluate(second, tokenizer, suite, data, cache=tmp_path) == alone
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.integration
@pytest.mark.parametrize("answers", [1, 20, 47])
def test_a_killed_evaluation_goes_on_at_the_item(answers, suite, tokenizer, nano_records, tmp_path):
    model, data = make_tiny_model(tokenizer), {"test": nano_records}
    uninterrupted = evaluate(model, tokenizer, suite, data)
    seen = []

    def kill(done, total):
        seen.append(done)
        if len(seen) == answers + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model, tokenizer, suite, data, progress=kill, cache=tmp_path)
    (path,) = tmp_path.glob("eval-*/answers.jsonl")
    stored = len(path.read_text(encoding="utf-8").splitlines())
    assert stored >= answers - 1
    progress = []
    again = evaluate(
        model, tokenizer, suite, data, cache=tmp_path,
        progress=lambda done, total: progress.append((done, total)),
    )  # fmt: skip
    assert again == uninterrupted
    starts = [progress[0], next(pair for pair in progress if pair[1] != progress[0][1])]
    assert sum(done for done, _ in starts) == stored


def test_a_line_cut_by_a_kill_is_forgotten(tmp_path):
    path = tmp_path / "a.jsonl"
    answers = ResponseCache(path)
    answers["one"], answers["two"] = CachedResponse(" \u7532", True), CachedResponse([-1.5, False])
    with path.open("a", encoding="utf-8") as file:
        file.write('["three", " hal')
    again = ResponseCache(path)
    again["four"] = CachedResponse("x")
    assert ResponseCache(path).responses == {**answers.responses, "four": CachedResponse("x")}


def test_the_key_sees_weights_dtype_tokenizer_and_settings_but_not_the_mode(tokenizer):
    model = make_tiny_model(tokenizer)
    settings = {"batch_size": 4}
    key = hash_model(model, tokenizer, settings)
    model.train()
    assert hash_model(make_tiny_model(tokenizer), tokenizer, settings) == key
    assert hash_model(make_tiny_model(tokenizer, seed=1), tokenizer, settings) != key
    assert hash_model(make_tiny_model(tokenizer).to(torch.bfloat16), tokenizer, settings) != key
    assert hash_model(model, tokenizer, {"batch_size": 5}) != key
    other = make_tiny_model(tokenizer)
    with torch.no_grad():
        other.model.layers[1].mlp.down_proj.weight[0, 0] += 1e-6
    assert hash_model(other, tokenizer, settings) != key


def test_two_writers_of_one_file_spoil_nothing(tmp_path):
    path = tmp_path / "a.jsonl"
    first, second = ResponseCache(path), ResponseCache(path)
    for n in range(50):
        first[f"a{n}"] = CachedResponse("long " * 5000)
        second[f"b{n}"] = CachedResponse([-1.0, True])
    assert len(ResponseCache(path).responses) == 100


def test_an_altered_answer_is_asked_again(suite, tokenizer, nano_records, tmp_path):
    model, data = make_tiny_model(tokenizer), {"test": nano_records}
    first = evaluate(model, tokenizer, suite, data, cache=tmp_path)
    (path,) = tmp_path.glob("*/answers.jsonl")
    content = path.read_bytes()
    lines = content.splitlines(keepends=True)
    spoilt = bytearray(lines[3])
    spoilt[spoilt.index(b", ") + 3] ^= 1  # a character of the response, so that the line is JSON
    path.write_bytes(b"".join([*lines[:3], bytes(spoilt), *lines[4:]]))
    count = count_forwards(model)
    assert evaluate(model, tokenizer, suite, data, cache=tmp_path) == first
    assert len(count) > 0
    assert lines[3] in path.read_bytes()
