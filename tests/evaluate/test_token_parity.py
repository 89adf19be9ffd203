"""What a model is trained on and what it is asked are read in the same tokens."""

import pytest

from kvdistill.data.prompt_style import RenderedText
from kvdistill.data.tokenise import Tokeniser
from kvdistill.errors import ConfigError
from kvdistill.evaluate.backends.hf import CachedHFLM
from kvdistill.evaluate.response_cache import ResponseCache
from tests.data.factories import FAMILIES, make_family_tokenizer
from tests.evaluate.tiny_models import make_tiny_model

TEXTS = ["Question: how many apples?\nAnswer:", "a<eos>b <bos>", "<bos>a", "<s>a </s>"]
CHAT = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def open_hf(tokenizer):
    tokenizer.pad_token = tokenizer.eos_token
    return CachedHFLM(
        make_tiny_model(tokenizer), tokenizer, batch_size=1, max_length=None,
        responses=ResponseCache(), progress=None,
    )  # fmt: skip


def read_training_ids(tokenizer, text, turns=()):
    rendered = RenderedText(id="x:s", task="t", style="s", prompt=text, answer="", turns=turns)
    return Tokeniser(tokenizer, "student")([rendered])[0].ids[:-1].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_and_training_texts_are_the_same_tokens(family):
    tokenizer = make_family_tokenizer(family)
    check_same_tokens(open_hf(tokenizer), tokenizer)


def check_same_tokens(lm, tokenizer):
    expected = [read_training_ids(tokenizer, text) for text in TEXTS]
    assert [lm.tok_encode(text) for text in TEXTS] == expected
    assert lm.tok_encode(TEXTS) == expected
    prompt, continuation = lm._encode_pair(TEXTS[0], " 7")
    assert [*prompt, *continuation] == read_training_ids(tokenizer, TEXTS[0] + " 7")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_to_generate_from_is_padded_on_the_left_and_no_other(family):
    tokenizer = make_family_tokenizer(family)
    ids, mask = open_hf(tokenizer).tok_batch_encode(TEXTS, left_truncate_len=1000)
    for row, seen, text in zip(ids, mask.bool(), TEXTS, strict=True):
        assert row[seen].tolist() == read_training_ids(tokenizer, text)
    assert mask[:, -1].all()


@pytest.mark.parametrize("family", ["qwen", "llama3", "gemma", "smollm2"])
def test_a_chat_is_the_same_tokens_with_one_bos(family):
    tokenizer = make_family_tokenizer(family)
    tokenizer.chat_template = CHAT
    lm = open_hf(tokenizer)
    lm.use_chat_template(None)
    text = lm.apply_chat_template([{"role": "user", "content": "how many?"}])
    ids = lm.tok_encode(text)
    assert ids == read_training_ids(tokenizer, text, turns=("how many?",))
    if family != "qwen":  # which has no BOS
        assert ids.count(tokenizer.bos_token_id) == 1
    assert ids.count(tokenizer.eos_token_id) == 1  # the turn's end, as a control token


def test_a_control_token_in_a_question_is_refused_where_it_would_be_one():
    tokenizer = make_family_tokenizer("qwen")
    tokenizer.chat_template = CHAT
    lm = open_hf(tokenizer)
    lm.use_chat_template(None)
    with pytest.raises(ConfigError, match=r"tasks\.chat_template: the prompt .* holds '<eos>'"):
        lm.apply_chat_template([{"role": "user", "content": "what is <eos>?"}])


def test_a_prompt_in_a_chat_has_the_day_that_the_suite_states():
    tokenizer = make_family_tokenizer("qwen")
    tokenizer.chat_template = "{{ strftime_now('%Y') }}" + CHAT
    lm = open_hf(tokenizer)
    lm.use_chat_template("2024-07-26")
    assert lm.apply_chat_template([{"role": "user", "content": "1?"}]).startswith("2024")
    lm.use_chat_template(None)
    with pytest.raises(ConfigError, match=r"^tasks\.date=null"):
        lm.apply_chat_template([{"role": "user", "content": "1?"}])
