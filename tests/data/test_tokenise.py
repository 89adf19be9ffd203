"""Ids, answer masks and byte spans, for both families of tokenizers."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.data.prompt_style import RenderedText
from kvdistill.data.tokenise import Tokeniser
from kvdistill.errors import ConfigError
from tests.data import factories

MODELS = {
    "byte_level": factories.make_byte_level_tokenizer(),
    "byte_fallback": factories.make_byte_fallback_tokenizer(),
}
READERS = {name: Tokeniser(model, "student.tokenizer") for name, model in MODELS.items()}


def make_text(prompt, answer):
    return RenderedText(id="x:s", task="t", style="s", prompt=prompt, answer=answer)


def list_token_bytes(name, text):
    read = READERS[name]([text])[0]
    text_bytes = text.text.encode()
    return [text_bytes[a:b] for a, b in zip(read.spans.starts, read.spans.ends, strict=True)]


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=80, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.text("ab 7\u4e2d", max_size=9),
)
def test_spans_cover_the_text_once_and_in_order(name, prompt, answer):
    text = make_text(prompt.replace("\u2581", ""), answer)
    text_bytes = text.text.encode()
    read = READERS[name]([text])[0]
    assert b"".join(list_token_bytes(name, text)) == text_bytes
    assert (read.spans.starts[1:] == read.spans.ends[:-1]).all()
    assert read.spans.starts[-1] == read.spans.ends[-1] == len(text_bytes)
    assert read.ids[-1] == READERS[name].eos_token_id
    crossing = read.spans.ends > len(text.prompt.encode())
    assert (read.answer[:-1] == crossing[:-1]).all()
    assert read.answer[-1]
    assert not read.truncated


def test_a_character_split_over_tokens_has_a_byte_each():
    assert list_token_bytes("byte_level", make_text("\U0001f600", ""))[:4] == [
        b"\xf0",
        b"\x9f",
        b"\x98",
        b"\x80",
    ]
    assert list_token_bytes("byte_fallback", make_text("\u4e2d", "")) == [
        b"",
        b"\xe4",
        b"\xb8",
        b"\xad",
        b"",
    ]


def test_the_space_before_a_word_belongs_to_it():
    read = list_token_bytes("byte_level", make_text("how many", " apples"))
    assert read[-3:] == [b" many", b" apples", b""]


def test_the_dummy_prefix_space_of_sentencepiece_covers_no_byte():
    own, spaced = (READERS["byte_fallback"]([make_text(t, "")])[0] for t in ("hello", " hello"))
    assert own.spans.starts[0] == 0
    assert (own.spans.ends[-1], spaced.spans.ends[-1]) == (5, 6)


def test_a_token_that_crosses_the_end_of_the_prompt_is_answer():
    crossed = READERS["byte_level"]([make_text("how man", "y apples")])[0]
    whole = READERS["byte_level"]([make_text("how many", " apples")])[0]
    assert crossed.answer.tolist()[-3:] == [True, True, True]
    assert whole.answer.tolist()[-3:] == [False, True, True]


def test_a_special_token_that_a_user_wrote_is_text():
    text = make_text("a<eos>b", "")
    assert b"<eos>" not in list_token_bytes("byte_level", text)
    assert (
        READERS["byte_level"]([text])[0].ids.tolist().count(MODELS["byte_level"].eos_token_id) == 1
    )


def test_a_special_token_of_a_chat_template_covers_its_bytes():
    text = dataclasses.replace(make_text("a<eos>b", ""), turns=("a", "b"))
    assert list_token_bytes("byte_level", text) == [b"a", b"<eos>", b"b", b""]


def test_a_special_token_that_a_user_wrote_into_a_chat_is_refused_by_the_text():
    text = dataclasses.replace(make_text("a<eos>b", ""), turns=("a<eos>", "b"))
    with pytest.raises(ConfigError, match=r"style\.chat: text 'x:s' holds '<eos>'.*Remove the row"):
        READERS["byte_level"]([text])


def test_bos_covers_nothing_and_stands_before_the_text_alone():
    for family in ("llama3", "gemma", "llama2"):
        reader = Tokeniser(factories.make_family_tokenizer(family), "student")
        begin = reader.begin_ids
        assert len(begin) == 1
        read = reader([make_text("how many", " apples")])[0]
        assert (read.ids[0], read.spans.begin, read.ids.tolist().count(begin[0])) == (
            begin[0],
            1,
            1,
        )
        assert read.spans.starts[0] == read.spans.ends[0] == 0
        assert not read.answer[0]
        assert not reader([make_text("", " apples")])[0].answer[0]
        assert read.truncate(1).spans.begin == 1


def test_a_chat_template_of_the_student_gives_no_teacher_a_second_bos():
    reader = Tokeniser(factories.make_family_tokenizer("llama3"), "teacher.a")
    text = dataclasses.replace(make_text("<bos>user: a", "b"), turns=("a", "b"))
    with pytest.raises(
        ConfigError, match=r"^teacher\.a: its tokenizer puts <bos> before every text"
    ):
        reader([text])
    # Written by a user, it is text.
    assert reader([make_text("<bos>user: a", "b")])[0].ids.tolist().count(reader.begin_ids[0]) == 1


def test_many_texts_are_read_as_one_by_one():
    texts = [make_text("how many apples", " 7"), make_text("", " 7"), make_text("\u4e2d", "\u6587")]
    for reader in READERS.values():
        for together, text in zip(reader(texts), texts, strict=True):
            alone = reader([text])[0]
            assert np.array_equal(together.ids, alone.ids)
            assert np.array_equal(together.spans.ends, alone.spans.ends)
    assert READERS["byte_level"]([]) == []


def test_cut_keeps_the_first_tokens_and_says_so():
    read = READERS["byte_level"]([make_text("how many apples", " 7")])[0]
    cut = read.truncate(2)
    assert cut.ids.tolist() == read.ids[:2].tolist()
    assert (len(cut.answer), len(cut.spans.starts), len(cut.spans.ends)) == (2, 2, 2)
    assert cut.truncated
    assert read.truncate(len(read.ids)) is read


def test_characters_that_a_tokenizer_rewrites_are_refused_by_name():
    with pytest.raises(ConfigError, match=r"student\.tokenizer: the tokens of text 'x:s'"):
        READERS["byte_fallback"]([make_text("a \u2581 b", "")])


def test_a_tokenizer_whose_tokens_are_no_bytes_is_refused():
    with pytest.raises(ConfigError, match=r"teachers\.a: a WordLevel tokenizer"):
        Tokeniser(factories.make_word_level_tokenizer(), "teachers.a")


def test_a_tokenizer_without_end_of_text_is_refused():
    tokenizer = factories.make_byte_level_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="no end-of-text token"):
        Tokeniser(tokenizer, "student.tokenizer")


def test_a_slow_tokenizer_is_refused_by_name():
    tokenizer = factories.make_byte_level_tokenizer()
    tokenizer.__class__ = type("SlowTokenizer", (type(tokenizer),), {"is_fast": False})
    with pytest.raises(ConfigError, match="SlowTokenizer is a slow tokenizer"):
        Tokeniser(tokenizer, "student.tokenizer")


def test_padding_falls_back_to_the_end_of_text_id():
    tokenizer = factories.make_byte_level_tokenizer(specials=("<eos>", "<pad>"))
    assert Tokeniser(tokenizer, "s").pad_token_id == tokenizer.eos_token_id
    tokenizer.pad_token = "<pad>"
    assert Tokeniser(tokenizer, "s").pad_token_id == tokenizer.convert_tokens_to_ids("<pad>")
