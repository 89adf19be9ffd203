"""Which of a text's tokens are compared, and how much each counts."""

import pytest
import torch

from kvdistill.errors import ConfigError
from kvdistill.loss.gram import Gram
from kvdistill.loss.mse import MSE
from kvdistill.loss.tokens.answer_tokens import AnswerTokens
from kvdistill.loss.tokens.base import check_token_weights
from kvdistill.loss.tokens.every_token import EveryToken
from kvdistill.loss.tokens.last_k import LastK
from kvdistill.loss.tokens.position_weighted import PositionWeighted
from kvdistill.types import Tokens


def read(*marks, pad=0):
    """A text a word: p a token of the prompt, a of an answer; filled up with padding."""
    width = max(map(len, marks)) + pad
    rows = [mark.ljust(width) for mark in marks]
    answer = torch.tensor([[letter == "a" for letter in row] for row in rows])
    mask = torch.tensor([[letter != " " for letter in row] for row in rows])
    return Tokens(torch.zeros_like(mask).long(), mask, answer)


CHOICES = [AnswerTokens(), LastK(k=2), PositionWeighted(first=0.1, last=1.0)]


def test_every_token_is_no_choice():
    assert EveryToken().weigh_tokens(read("ppaa")) is None


def test_the_answer_is_compared_and_the_prompt_is_not():
    weights = AnswerTokens().weigh_tokens(read("ppaa", "paapa"))
    assert weights.tolist() == [[0, 0, 1, 1, 0], [0, 1, 1, 0, 1]]


def test_the_last_tokens_of_the_answer_are_compared_or_all_where_it_is_shorter():
    weights = LastK(k=2).weigh_tokens(read("ppaaa", "pa", "apapa", "ppp"))
    assert weights.tolist() == [
        [0, 0, 0, 1, 1], [0, 1, 0, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 0, 0]
    ]  # fmt: skip


def test_weights_run_in_a_straight_line_from_the_first_answer_token_to_the_last():
    choice = PositionWeighted(first=0.5, last=2.0)
    weights = choice.weigh_tokens(read("paaaa", "ppa", "aappa"))
    expected = [[0, 0.5, 1.0, 1.5, 2.0], [0, 0, 0.5, 0, 0], [0.5, 1.25, 0, 0, 2.0]]
    torch.testing.assert_close(weights, torch.tensor(expected))
    falling = PositionWeighted(first=2.0, last=0.5).weigh_tokens(read("paaaa"))
    torch.testing.assert_close(falling, torch.tensor([[0, 2.0, 1.5, 1.0, 0.5]]))


def test_equal_ends_are_the_answer():
    tokens = read("ppaa", "paapa")
    equal = PositionWeighted(first=1.0, last=1.0).weigh_tokens(tokens)
    assert torch.equal(equal, AnswerTokens().weigh_tokens(tokens))


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_padding_and_other_texts_change_nothing(choice):
    alone, beside = read("ppaaa"), read("ppaaa", "paaaaaaa", pad=3)
    padded = choice.weigh_tokens(beside)
    assert torch.equal(padded[0, :5], choice.weigh_tokens(alone)[0])
    assert not padded[0, 5:].any()


def test_a_distance_that_counts_tokens_alike_is_refused_by_name():
    class Blind(MSE):
        weighs_tokens = False

    for choice in (EveryToken(), AnswerTokens(), LastK(k=1)):
        check_token_weights(choice, Blind())
    weighted = PositionWeighted(first=0.1, last=1.0)
    check_token_weights(weighted, Gram())
    with pytest.raises(ConfigError, match=r"loss\.tokens \(PositionWeighted\) .* \(Blind\)"):
        check_token_weights(weighted, Blind())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LastK(k=0), r"k=0 must be at least 1 token"),
        (lambda: PositionWeighted(first=0.0, last=1.0), r"first=0\.0 must be above 0"),
        (lambda: PositionWeighted(first=1.0, last=-1.0), r"last=-1\.0 must be above 0"),
    ],
)
def test_what_cannot_be_is_refused(build, message):
    with pytest.raises(ConfigError, match=rf"loss\.tokens\.{message}"):
        build()
