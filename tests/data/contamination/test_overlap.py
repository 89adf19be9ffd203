"""Planted copies of every kind, in two languages, against slow references; and what is no copy."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvdistill.data.contamination.ngrams import (
    NgramIndex,
    Vocabulary,
    compute_ngram_shares,
    find_contained,
    find_sharing_pairs,
)
from kvdistill.data.contamination.overlap import (
    Corpus,
    find_exact_copies,
    find_near_copies,
    find_template_copies,
)

WORDS = [a + b for a in "bcdfghklmnprst" for b in ("ado", "ein", "ira", "oluk", "usta", "yen")]
SIGNS = [chr(code) for code in range(0x4E00, 0x4F00)]
STORY = (
    "Priya baked 36 rolls for the school fair on Monday, and then she baked a third as many rolls "
    "on Tuesday. How many rolls did Priya bake in all on Monday and Tuesday?"
)


def find_copies(one, other):
    vocabulary = Vocabulary()
    left, right = Corpus(one, vocabulary), Corpus(other, vocabulary)
    numbers = np.array([token.isdigit() for token in vocabulary.ids], bool)
    return find_exact_copies(left, right) + find_near_copies(left, right, numbers)


def list_methods(one, other):
    return [match.method for match in find_copies([one], [other])]


def draw_texts(seed, count, units, joint, low=12, high=60):
    draw = random.Random(seed)
    return [joint.join(draw.choices(units, k=draw.randint(low, high))) for _ in range(count)]


@pytest.mark.parametrize(("units", "joint"), [(WORDS, " "), (SIGNS, "")])
def test_planted_copies_are_found_and_nothing_else(units, joint):
    items, rest = draw_texts(1, 60, units, joint), draw_texts(2, 300, units, joint)
    draw = random.Random(3)

    def replace_tokens(text):
        parts = text.split(" ") if joint else list(text)
        for place in draw.sample(range(len(parts)), len(parts) // 10):
            parts[place] = draw.choice(units)
        return joint.join(parts)

    kinds = {
        "exact": [text.title() + " !?" for text in items],
        "whole": [f"{rest[0]}, {text}; {rest[1]}" for text in items],
        "ngram": [replace_tokens(text) for text in items],
    }
    for copies in kinds.values():
        pairs = {(match.first, match.second) for match in find_copies(items, rest + copies)}
        assert pairs == {(place, len(rest) + place) for place in range(len(items))}


def test_each_kind_says_how_it_was_found():
    assert list_methods(STORY, STORY.upper().replace(",", " ;")) == ["exact"]
    assert list_methods("Solve 3n + 6 = 18 now", "Yes. Solve 3n + 6 = 18 now, or later.") == [
        "whole"
    ]
    assert list_methods(STORY, f"Read this. {STORY} Think.") == ["ngram"]
    assert list_methods(
        STORY, STORY.replace("rolls", "buns", 1).replace("Tuesday", "Friday", 1)
    ) == ["ngram"]


def test_a_question_with_other_numbers_is_another_question():
    ask = (
        "The well of {} village gives {} jars of water every {} hours, day and night. How many "
        "jars does it give between {} in the morning and {} in the evening?"
    )
    one = ask.format("a", 12, 3, 6, 9)
    assert list_methods(one, ask.format("a", 15, 4, 7, 9)) == []
    assert list_methods(one, ask.format("the", 12, 3, 6, 8)) == ["ngram"]
    # Neither does a long run of the same words make it a quotation.
    tail = " ".join(WORDS[:30])
    assert list_methods(f"{tail} 11 then 12 or 13", f"{tail} 21 then 22 or 23") == []


FORMULA_ITEM = (
    "若函数f(x)=\\sqrt{3x+12}在区间[1,8]上的最大值为a, 最小值为b, 则a-b等于多少?"
    "A. 1935年 B. 2mol/L C. $HNO_3$ D. \\frac{1}{2}"
)


def replace_characters(text, step=10):
    """Every tenth character but white space, by another."""
    places = [place for place, sign in enumerate(text) if not sign.isspace()][step - 1 :: step]
    return "".join("中" if place in places else sign for place, sign in enumerate(text))


def test_a_formula_changed_among_characters_is_still_the_same_item():
    """As words, half of it would be another: each change breaks a whole number or formula."""
    assert list_methods(FORMULA_ITEM, replace_characters(FORMULA_ITEM)) == ["ngram"]
    other = FORMULA_ITEM.replace("3x+12", "7x-55").replace("[1,8]", "[4,6]")
    other = other.replace("1935", "2048").replace("2mol", "9mol").replace("{1}{2}", "{8}{7}")
    assert list_methods(FORMULA_ITEM, other) == []
    # Letters alone say nothing of a text that has words.
    assert list_methods(STORY, replace_characters(STORY).replace("中", "x")) == []


def test_one_template_with_other_numbers_is_found_as_that():
    def match(one, other):
        vocabulary = Vocabulary()
        return find_template_copies(Corpus(one, vocabulary), Corpus(other, vocabulary))

    ask = "The well gives {} jars of water every {} hours."
    [pair] = match([ask.format("1,200", 3)], ["none", ask.format(7, "4.5").upper()])
    assert (pair.first, pair.second, pair.method) == (0, 1, "template")
    assert match([ask.format(12, 3)], [ask.format(12, 3)]) == []  # that is an exact copy
    assert match([ask.format(12, 3)], [ask.format(12, "three")]) == []
    assert match(["3 + 4 is"], ["5 - 9 is"]) == []  # too few words to tell templates by
    assert match(["no number in this one"], ["no number in this one at all"]) == []


def test_two_thirds_of_a_text_are_no_copy():
    tokens = WORDS[:30]
    assert list_methods(" ".join(tokens), " ".join(tokens[:20] + WORDS[40:50])) == []
    assert list_methods(" ".join(tokens), " ".join(tokens[:26] + WORDS[40:44])) == ["ngram"]


def test_a_short_changed_copy_counts_only_on_its_own():
    short = " ".join(WORDS[:10])
    changed = " ".join([*WORDS[:9], "other"])
    assert list_methods(short, changed) == ["ngram"]
    assert list_methods(short, f"{changed} {' '.join(WORDS[40:60])}") == []
    assert list_methods(short, f"{short} {' '.join(WORDS[40:60])}") == ["whole"]


def test_an_operator_makes_a_short_item_another():
    assert list_methods("What is 3 + 4?", "What is 3 - 4?") == []


def test_half_of_a_long_text_is_a_copy():
    tail = " ".join(WORDS[:40])
    assert list_methods(STORY + " " + tail, STORY + " " + " ".join(WORDS[40:80])) == []
    assert list_methods(STORY + " " + " ".join(WORDS[:12]), STORY + " " + tail[::-1]) == ["ngram"]


def test_wording_that_many_share_is_no_copy():
    template = "Which of the following statements about {} is the most correct one of all?"
    one = [template.format(word) for word in WORDS[:30]]
    other = [template.format(word) for word in WORDS[40:70]]
    assert find_copies(one, other) == []
    assert len(find_copies(one, [*other, one[7]])) == 1


def test_an_item_planted_many_times_is_still_found():
    rest = draw_texts(4, 50, WORDS, " ")
    planted = [f"{before} {STORY} {after}" for before, after in zip(rest, rest[::-1], strict=True)]
    assert {match.second for match in find_copies([STORY], planted)} == {*range(50)}


def test_a_short_phrase_that_many_hold_is_wording():
    rest = [f"{text} which one is right" for text in draw_texts(5, 30, WORDS, " ")]
    assert find_copies(["Which one is right?"], rest) == []
    assert len(find_copies(["Which one is right?"], rest[:5])) == 5


def test_one_set_with_itself_gives_each_pair_once():
    vocabulary = Vocabulary()
    corpus = Corpus(["Hello there, you", "hello THERE you!", "other words entirely"], vocabulary)
    none = np.zeros(len(vocabulary.ids), bool)
    assert [(match.first, match.second) for match in find_exact_copies(corpus, corpus)] == [(0, 1)]
    assert find_near_copies(corpus, corpus, none) == []


@pytest.mark.parametrize("texts", [[], [""], ["?!"], ["one two"]])
def test_empty_and_tiny_sets_give_nothing(texts):
    assert find_copies(texts, ["something else entirely"]) == []
    assert find_copies(["something else entirely"], texts) == []


TEXTS = st.lists(st.lists(st.sampled_from("abcde"), max_size=12), min_size=1, max_size=6)


def make_indexes(one, other):
    vocabulary = Vocabulary()
    return [NgramIndex([" ".join(text) for text in texts], vocabulary) for texts in (one, other)]


def list_ngrams(text, n):
    return [tuple(text[i : i + n]) for i in range(len(text) - n + 1)]


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 4))
def test_shared_runs_match_a_slow_reference(one, other, n):
    left, right = make_indexes(one, other)
    pairs, seen, _ = find_sharing_pairs(left, right, n, left.lengths >= 0, right.lengths >= 0)
    expected = [
        [i, j]
        for i, a in enumerate(one)
        for j, b in enumerate(other)
        if set(list_ngrams(a, n)) & set(list_ngrams(b, n))
    ]
    assert pairs.tolist() == expected
    assert seen.tolist() == [len(text) >= n for text in one]


def test_a_run_common_in_either_set_gives_no_pair():
    many, one = [["a", "b"]] * 11, [["a", "b"], ["c", "d"]]
    for first, second in ((many, one), (one, many)):
        left, right = make_indexes(first, second)
        pairs, seen, others = find_sharing_pairs(
            left, right, 2, left.lengths > 0, right.lengths > 0
        )
        assert pairs.tolist() == []
        assert [seen.tolist(), others.tolist()] == [
            [text == ["c", "d"] for text in texts] for texts in (first, second)
        ]


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 4))
def test_shares_match_a_slow_reference(one, other, n):
    left, right = make_indexes(one, other)
    pairs = np.array([[i, j] for i in range(len(one)) for j in range(len(other))])
    for (i, j), share in zip(
        pairs.tolist(), compute_ngram_shares(left, right, n, pairs), strict=True
    ):
        few, many = sorted((list_ngrams(one[i], n), list_ngrams(other[j], n)), key=len)
        common = sum(min(few.count(run), many.count(run)) for run in set(few))
        assert np.isnan(share) if not few else share == pytest.approx(common / len(few))


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS)
def test_containment_matches_a_slow_reference(one, other):
    left, right = make_indexes(one, other)
    pairs = find_contained(left, right, left.lengths > 0)
    expected = {
        (i, j)
        for i, a in enumerate(one)
        for j, b in enumerate(other)
        if a and tuple(a) in list_ngrams(b, len(a))
    }
    assert {tuple(pair) for pair in pairs.tolist()} == expected
