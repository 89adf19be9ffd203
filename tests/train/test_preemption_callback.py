"""All ranks make room where one was asked to."""

from pathlib import Path

import pytest

from tests.train.forked_ranks import compute_on_two_ranks


@pytest.mark.integration
def test_every_rank_ends_where_one_was_asked_and_none_where_none_was(tmp_path: Path) -> None:
    from kvdistill import preemption
    from kvdistill.train.preemption_callback import end_if_preempted

    def ask_second(rank: int) -> bool:
        end_if_preempted()
        if rank == 1:
            preemption._requested.set()
        with pytest.raises(preemption.Preempted):
            end_if_preempted()
        return preemption.is_requested()

    assert compute_on_two_ranks(ask_second, tmp_path) == [True, True]
