"""The order of texts is a function of seed and position alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from kvdistill.data.sampler import ResumableSampler, draw_epoch_order
from kvdistill.errors import ConfigError

LENGTHS = [(7 * number) % 101 for number in range(600)]


@given(st.integers(1, 60), st.integers(0, 2**40), st.integers(0, 5))
def test_an_epoch_reads_every_text_once(num, seed, epoch):
    assert sorted(draw_epoch_order(num, seed, epoch)) == list(range(num))


def test_seeds_and_epochs_differ_and_repeat():
    orders = [draw_epoch_order(50, seed, epoch) for seed in (0, 1, 42) for epoch in (0, 1)]
    assert len({tuple(each) for each in orders}) == 6
    assert draw_epoch_order(50, 0, 1) == draw_epoch_order(50, 0, 1)


def test_the_order_is_the_same_on_every_machine():
    assert draw_epoch_order(8, 42, 0) == [4, 3, 7, 0, 6, 5, 1, 2]


def test_grouping_keeps_every_text_and_puts_like_lengths_together():
    grouped = draw_epoch_order(600, 3, 0, lengths=LENGTHS, batch_size=8)
    assert sorted(grouped) == list(range(600))

    def count_padding(texts):
        batches = [texts[i : i + 8] for i in range(0, 600, 8)]
        return sum(
            max(LENGTHS[i] for i in b) * len(b) - sum(LENGTHS[i] for i in b) for b in batches
        )

    assert count_padding(grouped) < 0.2 * count_padding(draw_epoch_order(600, 3, 0))
    firsts = [LENGTHS[i] for i in grouped[::8]]
    assert firsts != sorted(firsts)


@pytest.mark.parametrize("grouping", [{}, {"lengths": LENGTHS[:30], "batch_size": 4}])
@given(start=st.integers(0, 100))
def test_a_resumed_stream_goes_on_where_it_stopped(grouping, start):
    whole = list(ResumableSampler(30, 100, 7, **grouping))
    resumed = ResumableSampler(30, 100, 7, start=start, **grouping)
    assert list(resumed) == whole[start:]
    assert len(resumed) == 100 - start


def test_a_stream_is_epoch_after_epoch():
    read = list(ResumableSampler(30, 70, 7))
    assert (
        read
        == draw_epoch_order(30, 7, 0) + draw_epoch_order(30, 7, 1) + draw_epoch_order(30, 7, 2)[:10]
    )


def test_a_grouped_stream_keeps_its_batches_whole_across_epochs():
    lengths = LENGTHS[:30]
    read = list(ResumableSampler(30, 120, 7, lengths=lengths, batch_size=4))
    second = draw_epoch_order(30, 7, 1, lengths=lengths, batch_size=4)
    assert read[28:56] == second[:28]


def test_fewer_texts_than_a_batch_still_stream():
    assert len(list(ResumableSampler(3, 20, 0, lengths=[1, 2, 3], batch_size=8))) == 20


def test_a_loader_reads_the_stream():
    loader = DataLoader(list(range(30)), batch_size=4, sampler=ResumableSampler(30, 20, 1))
    assert [i for batch in loader for i in batch.tolist()] == draw_epoch_order(30, 1, 0)[:20]


def test_no_text_is_refused():
    with pytest.raises(ConfigError, match="no training text"):
        ResumableSampler(0, 10, 0)
