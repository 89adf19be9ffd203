"""What a tokenizer puts before a text by itself, and what of a text it may not read as control."""

import json
import os
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from kvdistill.data.special_tokens import (
    check_no_control_tokens,
    encode_texts,
    find_begin_ids,
)
from kvdistill.errors import ConfigError
from tests.data.factories import FAMILIES, make_family_tokenizer

WITH_BOS = {"llama3", "gemma", "llama2"}
REAL = {"qwen3": [], "llama3_1": [128000]}


@pytest.mark.parametrize("family", FAMILIES)
def test_only_what_the_post_processor_puts_before_a_text_stands_there(family):
    tokenizer = make_family_tokenizer(family)
    begin = find_begin_ids(tokenizer)
    assert begin == ([tokenizer.bos_token_id] if family in WITH_BOS else [])
    (ids,) = encode_texts(tokenizer, ["how many apples"], markup=False)
    end = [tokenizer.eos_token_id] if family == "eos_behind" else []
    assert tokenizer("how many apples")["input_ids"] == [*begin, *ids, *end]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_special_token_is_one_only_where_a_chat_template_wrote_it(family):
    tokenizer = make_family_tokenizer(family)
    eos = tokenizer.eos_token
    plain, markup = (
        encode_texts(tokenizer, [f"a{eos}b"], markup=markup)[0] for markup in (False, True)
    )
    assert tokenizer.eos_token_id not in plain
    assert tokenizer.eos_token_id in markup
    assert tokenizer.decode(plain) == f"a{eos}b"
    # The tokenizer itself is as before.
    assert tokenizer(f"a{eos}b", add_special_tokens=False)["input_ids"] == markup


def test_control_tokens_in_a_turn_are_named_with_the_way_out():
    tokenizer = make_family_tokenizer("qwen")
    check_no_control_tokens(tokenizer, ["a < b > c"], "style.chat", "text 'x'")
    with pytest.raises(ConfigError, match=r"text 'x' holds '<eos>'.*set style\.chat=false"):
        check_no_control_tokens(tokenizer, ["a", "b<eos>"], "style.chat", "text 'x'")


@pytest.mark.parametrize("name", REAL)
def test_the_tokenizers_that_models_are_published_with(name):
    if not os.environ.get("KVDISTILL_TOKENIZERS"):
        pytest.skip("KVDISTILL_TOKENIZERS is not set")
    models = Path(os.environ["KVDISTILL_TOKENIZERS"]) / f"tokenizer-{name}/models"
    settings = json.loads((models / "tokenizer_config.json").read_text("utf-8"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(models / "tokenizer.json"),
        eos_token=settings["eos_token"],
        bos_token=settings["bos_token"],
    )
    assert find_begin_ids(tokenizer) == REAL[name]
    (ids,) = encode_texts(tokenizer, [f"a{tokenizer.eos_token}b"], markup=False)
    assert tokenizer.eos_token_id not in ids
