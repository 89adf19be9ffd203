"""The shuffled source: what it replaces, what it leaves, and what it refuses."""

import pytest
import torch

from kvdistill.compression.keep_last import KeepLast
from kvdistill.errors import UserError
from kvdistill.kv.shuffled import Shuffled
from tests.kv.sources import IDS, PAIRS, at, make, plain, tokens


def test_each_text_faces_the_next_one_where_both_have_a_token():
    (read,), true = make(Shuffled).read_kv_cache(tokens(), IDS), plain(tokens())
    assert (read.row_of_token >= 0).sum(dim=1).tolist() == [3, 3, 4]  # of 5 and 3, 3 and 4, 4 and 5
    for row, other in ((0, 1), (1, 2), (2, 0)):
        for token in range(3):
            assert torch.equal(at(read, row, token), at(true, other, token))
    assert at(read, 0, 3) is None
    assert list(read.layer_pairs) == PAIRS


def test_the_student_is_compared_where_the_true_teacher_kept_a_token():
    press = KeepLast(keep=2)
    (read,), true = make(Shuffled, press).read_kv_cache(tokens(), IDS), plain(tokens(), press)
    assert torch.equal(read.row_of_token >= 0, true.row_of_token >= 0)
    assert torch.equal(at(read, 0, 3), at(true, 1, 1))
    assert torch.equal(at(read, 0, 4), at(true, 1, 2))
    assert torch.equal(read.positions[read.row_of_token[0, 3:]], torch.tensor([1, 2]))


def test_another_style_of_the_same_row_is_no_other_text():
    (read,) = make(Shuffled).read_kv_cache(tokens(), ["a:cot", "a:direct", "b:cot"])
    assert torch.equal(at(read, 0, 0), at(plain(tokens()), 2, 0))
    (alone,) = make(Shuffled).read_kv_cache(tokens(), ["a:x", "a:y", "a:z"])
    assert (alone.row_of_token < 0).all()


def test_a_micro_batch_of_one_text_cannot_be_shuffled():
    with pytest.raises(UserError, match=r"source=shuffled needs another text .*batch_size to"):
        make(Shuffled).read_kv_cache(tokens((5,)), ["a"])
