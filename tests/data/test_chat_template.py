"""A chat template without a clock, and with one BOS."""

import pytest

from kvdistill.data.chat_template import check_chat_template, fix_clock, render_turns
from kvdistill.errors import ConfigError
from tests.data.factories import make_family_tokenizer

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
TURNS = [{"role": "user", "content": "1?"}]


def make_chatty(family, template):
    tokenizer = make_family_tokenizer(family)
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("family", ["llama3", "gemma"])
def test_bos_of_the_template_is_left_to_the_tokenizer_that_adds_it(family):
    tokenizer = make_chatty(family, "{{ bos_token }}" + CHAT)
    assert render_turns(tokenizer, TURNS, "style.chat") == "<user>1?"


def test_bos_of_the_template_stays_where_the_tokenizer_adds_none():
    tokenizer = make_chatty("smollm2", "{{ bos_token }}" + CHAT)
    assert render_turns(tokenizer, TURNS, "style.chat") == "<bos><user>1?"


@pytest.mark.parametrize("family", ["llama3", "smollm2"])
def test_bos_twice_is_refused(family):
    tokenizer = make_chatty(family, "{{ bos_token }}{{ bos_token }}" + CHAT)
    with pytest.raises(
        ConfigError, match=r"^style\.chat=true: the chat template writes <bos> twice"
    ):
        render_turns(tokenizer, TURNS, "style.chat")


def test_the_date_is_a_setting_or_refused():
    dated = make_chatty("qwen", "{{ strftime_now('%Y') }}" + CHAT)
    with pytest.raises(ConfigError, match=r"^tasks\.date=null.*Set tasks\.date=YYYY-MM-DD"):
        check_chat_template(dated, None, "tasks.chat_template", "tasks.date")
    check_chat_template(dated, "2024-07-26", "tasks.chat_template", "tasks.date")
    with fix_clock("2024-07-26", "tasks.date"):
        assert render_turns(dated, TURNS, "tasks.chat_template") == "2024<user>1?"


def test_a_template_that_asks_whether_there_is_a_clock_is_refused_alike():
    # As Llama 3.2's: the day it falls back to is never reached.
    dated = make_chatty(
        "qwen", "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}" + CHAT
    )
    with pytest.raises(ConfigError, match=r"^style\.date=null"):
        check_chat_template(dated, None, "style.chat", "style.date")
