"""When two questions count as the same: examples and properties."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvdistill.data.contamination.normalise import (
    compute_group_id,
    differ_in_operators,
    keep_alphanumerics,
    mask_numbers,
    split_characters,
    split_ngram_tokens,
)


@pytest.mark.parametrize(
    "other",
    [
        "WHAT IS 3.5 + 4, PLEASE",
        "What  is\n3.5+4 -- please?!",
        "\uff37hat \uff49s \uff13.\uff15 + \uff14, please",
        "What is 35 4 please",
    ],
)
def test_case_width_punctuation_and_space_do_not_part_a_group(other):
    assert compute_group_id(other) == compute_group_id("What is 3.5 + 4, please?")


def test_other_letters_or_digits_do():
    ids = {compute_group_id(text) for text in ("3 + 4?", "3 + 5?", "three + 4?", "\u4e09 + 4?")}
    assert len(ids) == 4


def test_the_group_id_is_the_same_on_every_machine():
    expected = "c0630c7c187359d5"
    assert compute_group_id("What is 3 + 4?").startswith(expected)


def test_a_template_is_a_text_without_its_numbers():
    assert mask_numbers("Ann has 1,200 eggs, 3.5 each") == mask_numbers("ANN has 7 eggs: 12/5 each")
    assert mask_numbers("Ann has 3 eggs") != mask_numbers("Ann has three eggs")


def test_only_texts_in_a_script_without_spaces_are_taken_apart():
    assert split_characters("\u6c42 $x^2$.") == ["\u6c42", "x", "2"]
    assert split_characters("Find $x^2$.") == []


def test_texts_of_symbols_alone_stay_apart():
    assert keep_alphanumerics("( [ ?") == "([?"
    assert compute_group_id("(?") != compute_group_id("[?")


@pytest.mark.integration
@given(st.text())
def test_normalising_is_stable_under_case_and_width(text):
    assert keep_alphanumerics(text.upper().lower().upper()) == keep_alphanumerics(text.upper())
    assert keep_alphanumerics(unicodedata.normalize("NFKC", text)) == keep_alphanumerics(text)
    assert keep_alphanumerics(keep_alphanumerics(text)) == keep_alphanumerics(text)


def test_tokens_are_words_numbers_and_single_characters():
    assert split_ngram_tokens("Two apples, 3.5\u5143: \u82f9\u679c! \u30ab\u30ca") == [
        "two", "apples", "3", "5", "\u5143", "\u82f9", "\u679c", "\u30ab", "\u30ca",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other", "different"),
    [
        ("What is 3 + 4?", "what is 3 - 4", True),
        ("What is 3 + 4?", "what is 3 4", False),
        ("Sort 12, 3", "Sort 1, 23", True),
        ("It costs 3.5 now", "it costs 35 now", False),
        ("Close: [ ( {", "Close: [ { (", True),
        ("A 5-year plan, " + "of " * 20, "A 5+year plan " + "of " * 20, False),
    ],
)  # fmt: skip
def test_operators_part_short_items_but_stripped_ones_do_not(one, other, different):
    assert keep_alphanumerics(one) == keep_alphanumerics(other)
    assert differ_in_operators(one, other) == differ_in_operators(other, one) == different
