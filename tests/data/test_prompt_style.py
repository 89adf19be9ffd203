"""Both styles rendered, what a template may ask for, and the student's chat template."""

import pytest
from hydra import compose
from hydra.utils import instantiate

from kvdistill.data.prompt_style import Style
from kvdistill.data.tokenise import Tokeniser
from kvdistill.errors import ConfigError
from tests.data.factories import make_byte_level_tokenizer, make_record

DIRECT = {"prompt": "Question: {question}\nAnswer:", "answer": " {answer}"}
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def load_style(choice):
    return instantiate(compose("config", overrides=[f"style={choice}"]).style)


def test_mixed_renders_each_record_both_ways(hydra):
    texts = load_style("mixed").render(
        make_record(7, question="1 + 1?", rationale="One more.", answer="2")
    )
    assert [(text.id, text.style, text.prompt, text.answer) for text in texts] == [
        ("r7:cot", "cot", "Question: 1 + 1?\nReasoning:", " One more. #### 2"),
        ("r7:direct", "direct", "Question: 1 + 1?\nAnswer:", " 2"),
    ]
    assert texts[0].text == "Question: 1 + 1?\nReasoning: One more. #### 2"


@pytest.mark.integration
def test_mixed_is_cot_and_direct(hydra):
    both = load_style("cot").render(make_record()) + load_style("direct").render(make_record())
    assert load_style("mixed").render(make_record()) == both


def test_braces_in_a_question_are_text():
    text = Style(templates={"direct": DIRECT}).render(make_record(question="{answer} {x}?"))[0]
    assert text.prompt == "Question: {answer} {x}?\nAnswer:"


def test_a_text_is_composed_so_that_every_tokenizer_reads_the_same_bytes():
    text = Style(templates={"direct": DIRECT}).render(make_record(question="cafe\u0301?"))[0]
    assert "caf\u00e9" in text.prompt


def test_without_mask_prompt_all_is_answer():
    kept, whole = (
        Style(templates={"direct": DIRECT}, mask_prompt=mask).render(make_record())[0]
        for mask in (True, False)
    )
    assert (whole.prompt, whole.answer) == ("", kept.text)


def test_chat_puts_prompt_and_answer_in_turns():
    tokenizer = make_byte_level_tokenizer()
    tokenizer.chat_template = CHAT
    chat = Style(templates={"direct": DIRECT}, chat=True)
    text = chat.render(make_record(question="1?", answer="2"), tokenizer)[0]
    assert text.prompt == "<user>Question: 1?\nAnswer:</user><assistant>"
    assert text.answer == "2</assistant>"


def test_an_end_of_turn_that_is_eos_is_trained_once():
    tokenizer = make_byte_level_tokenizer()
    tokenizer.chat_template = CHAT.replace("</{{ m.role }}>", "{{ eos_token }}\n")
    chat = Style(templates={"direct": DIRECT}, chat=True)
    texts = chat.render(make_record(question="1?", answer="2"), tokenizer)
    assert texts[0].turns == ("Question: 1?\nAnswer:", "2")
    assert texts[0].answer == "2"
    read = Tokeniser(tokenizer, "student")(texts)[0]
    assert read.ids[read.answer].tolist().count(tokenizer.eos_token_id) == 1


def test_a_chat_template_that_prints_the_date_needs_one():
    tokenizer = make_byte_level_tokenizer()
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }}" + CHAT
    with pytest.raises(ConfigError, match=r"^style\.date=null, but .* prints today's date"):
        Style(templates={"direct": DIRECT}, chat=True).render(make_record(), tokenizer)
    fixed = Style(templates={"direct": DIRECT}, chat=True, date="2024-07-26")
    assert fixed.render(make_record(), tokenizer)[0].prompt.startswith("26 Jul 2024<user>")


def test_a_date_that_is_no_day_is_refused():
    with pytest.raises(ConfigError, match=r"^style\.date='today' is no day"):
        Style(templates={"direct": DIRECT}, date="today")


def test_chat_without_a_chat_template_is_refused():
    match = r"^style\.chat=true needs a tokenizer with a chat template.*Set style\.chat=false"
    with pytest.raises(ConfigError, match=match):
        Style(templates={"direct": DIRECT}, chat=True).render(
            make_record(), make_byte_level_tokenizer()
        )


def test_a_chat_template_that_rewrites_the_prompt_is_refused():
    tokenizer = make_byte_level_tokenizer()
    tokenizer.chat_template = (
        "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    with pytest.raises(ConfigError, match="does not write a conversation"):
        Style(templates={"direct": DIRECT}, chat=True).render(make_record(), tokenizer)


def test_a_record_without_rationale_is_refused_by_cot_only(hydra):
    bare = make_record(rationale="")
    assert len(load_style("direct").render(bare)) == 1
    with pytest.raises(ConfigError, match=r"templates\.cot asks for a rationale.*'r0' of toy"):
        load_style("cot").render(bare)


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ({}, "templates is empty"),
        ({"a": {"prompt": "{question}"}}, "exactly prompt and answer"),
        ({"a": {"prompt": "{qestion}", "answer": "{answer}"}}, r"asks for \{qestion\}"),
        ({"a": {"prompt": "{question}", "answer": "{"}}, "is not a template"),
        ({"a": {"prompt": "{question}", "answer": "yes"}}, r"must hold \{answer\}"),
        ({"a:b": DIRECT}, "no colon"),
    ],
)
def test_a_broken_template_is_refused(templates, message):
    with pytest.raises(ConfigError, match=message):
        Style(templates=templates)
