from collections.abc import Sequence
from typing import Any

import pytest
import torch

from kvdistill.models.generation.stopping import NonFiniteLogitsError
from kvdistill.models.generation.write_answers import (
    Decoding,
    DrawTokens,
    Prompt,
    draw_uniform,
    write_answers,
)
from tests.evaluate.tiny_models import byte_tokenizer, make_tiny_model

PROMPTS = [Prompt("one", "Question: what?\nReasoning:"), Prompt("two", "Question: is it A?")]


@pytest.fixture(scope="module")
def tiny() -> tuple[Any, Any]:
    tokenizer = byte_tokenizer()
    return make_tiny_model(tokenizer, initializer_range=0.3).eval(), tokenizer


def texts(tiny: tuple[Any, Any], prompts: Sequence[Prompt], **settings: Any) -> list[str]:
    decoding = Decoding(max_new_tokens=12, **settings)
    return [each.text for each in write_answers(*tiny, prompts, decoding)]


def test_greedy_answers_are_those_of_a_loop_over_the_models_own_logits(
    tiny: tuple[Any, Any],
) -> None:
    model, tokenizer = tiny
    for prompt, text in zip(PROMPTS, texts(tiny, PROMPTS), strict=True):
        ids = tokenizer.encode(prompt.text)
        start = len(ids)
        with torch.no_grad():
            while len(ids) < start + 12 and ids[-1] != tokenizer.eos_token_id:
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert text == tokenizer.decode(ids[start:], skip_special_tokens=True)


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_what_a_row_writes_depends_on_no_row_beside_it(
    tiny: tuple[Any, Any], temperature: float
) -> None:
    together = texts(tiny, PROMPTS, temperature=temperature)
    alone = [texts(tiny, [each], temperature=temperature)[0] for each in PROMPTS]
    assert together == alone
    assert together == texts(tiny, PROMPTS[::-1], temperature=temperature)[::-1]


def test_a_draw_is_repeated_under_its_seed_and_id_and_moves_no_random_state(
    tiny: tuple[Any, Any],
) -> None:
    before = torch.get_rng_state()
    first = texts(tiny, PROMPTS, temperature=1.5, seed=3)
    assert torch.equal(before, torch.get_rng_state())
    assert texts(tiny, PROMPTS, temperature=1.5, seed=3) == first
    assert texts(tiny, PROMPTS, temperature=1.5, seed=4) != first
    renamed = [Prompt("other", PROMPTS[0].text), PROMPTS[1]]
    others = texts(tiny, renamed, temperature=1.5, seed=3)
    assert others[0] != first[0]
    assert others[1] == first[1]


def test_tokens_are_drawn_as_often_as_the_softmax_at_the_temperature_says() -> None:
    logits = torch.tensor([1.0, -2.0, 0.5, float("-inf"), 3.0])
    rows = 20_000
    draws = draw_uniform(0, "x", rows)[:, None]
    scores = DrawTokens(draws, 0, 2.0)(torch.zeros(rows, 0), logits.expand(rows, -1))
    shares = torch.bincount(scores.argmax(dim=1), minlength=5) / rows
    assert torch.allclose(shares, torch.softmax(logits / 2.0, dim=0), atol=0.01)
    assert shares[3] == 0


def test_a_stop_string_ends_an_answer_and_is_no_part_of_it(tiny: tuple[Any, Any]) -> None:
    whole = texts(tiny, PROMPTS[:1])[0]
    stop = whole[3:5]
    decoding = Decoding(max_new_tokens=12, stops=[stop])
    (answer,) = write_answers(*tiny, PROMPTS[:1], decoding)
    assert answer.text == whole[: whole.index(stop)]
    assert answer.ended
    assert answer.tokens < 12


def test_an_answer_that_runs_out_of_tokens_did_not_end(tiny: tuple[Any, Any]) -> None:
    (answer,) = write_answers(*tiny, PROMPTS[:1], Decoding(max_new_tokens=2))
    assert (answer.ended, answer.tokens) == (False, 2)
    assert answer.prompt_tokens == len(tiny[1].encode(PROMPTS[0].text))


def test_a_model_that_gives_nan_writes_nothing() -> None:
    tokenizer = byte_tokenizer()
    model = make_tiny_model(tokenizer).eval()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(NonFiniteLogitsError):
        write_answers(model, tokenizer, PROMPTS, Decoding(max_new_tokens=2))


def test_a_checkpoints_own_penalties_do_not_apply(tiny: tuple[Any, Any]) -> None:
    model, _ = tiny
    before = texts(tiny, PROMPTS)
    model.generation_config.repetition_penalty = 5.0
    model.generation_config.no_repeat_ngram_size = 1
    try:
        assert texts(tiny, PROMPTS) == before
    finally:
        model.generation_config.repetition_penalty = None
        model.generation_config.no_repeat_ngram_size = None
