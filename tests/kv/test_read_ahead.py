"""Reading ahead: in order, bounded, loud, and over when it is over."""

import threading
from collections.abc import Iterator

import pytest

from kvdistill.kv.read_ahead import ReadAhead


class Disk:
    """Reads numbers once each gate is open, and notes which were begun."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.gate = threading.Event()
        self.threads: set[str] = set()

    def read(self, number: int) -> int:
        self.begun.append(number)
        self.threads.add(threading.current_thread().name)
        assert self.gate.wait(10)
        if number < 0:
            raise ValueError(f"{number} cannot be read")
        return 10 * number


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.gate.set()


def list_threads(name: str) -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith(name)]


def test_what_is_announced_is_read_in_threads_in_order_and_no_further_ahead_than_depth(disk):
    reads = ReadAhead(disk.read, 2, "ahead-order")
    for number in range(5):
        reads.announce(number, number)
    disk.gate.set()
    assert [reads.take(number, number) for number in range(5)] == [0, 10, 20, 30, 40]
    assert sorted(disk.begun) == [0, 1, 2, 3, 4]
    assert all(name.startswith("ahead-order") for name in disk.threads)
    reads.close()


def test_no_more_than_depth_results_lie_ready(disk):
    reads = ReadAhead(disk.read, 2, "ahead-depth")
    disk.gate.set()
    for number in range(5):
        reads.announce(number, number)
    assert reads.take(0, 0) == 0
    reads.close()  # has waited for what was begun
    assert sorted(disk.begun) == [0, 1, 2]


def test_what_nobody_announced_or_whose_turn_has_not_come_is_read_in_place(disk):
    reads = ReadAhead(disk.read, 1, "ahead-place")
    reads.announce("first", 1)
    reads.announce("second", 2)
    disk.gate.set()
    # Neither waits for the first, which nobody takes.
    assert reads.take("second", 2) == 20
    assert reads.take("third", 3) == 30
    assert "MainThread" in disk.threads
    assert reads.take("first", 1) == 10
    assert sorted(disk.begun) == [1, 2, 3]
    reads.close()


def test_what_a_thread_raises_is_raised_where_it_is_taken(disk):
    reads = ReadAhead(disk.read, 2, "ahead-raise")
    disk.gate.set()
    reads.announce("bad", -1)
    reads.announce("good", 1)
    with pytest.raises(ValueError, match="-1 cannot be read"):
        reads.take("bad", -1)
    assert reads.take("good", 1) == 10
    reads.close()


def test_no_thread_outlives_closing_or_the_object(disk):
    disk.gate.set()
    closed = ReadAhead(disk.read, 2, "ahead-close")
    for number in range(9):
        closed.announce(number, number)
    closed.close()
    assert not list_threads("ahead-close")
    dropped = ReadAhead(disk.read, 2, "ahead-drop")
    dropped.announce(1, 1)
    dropped.take(1, 1)
    threads = [each for each in threading.enumerate() if each.name.startswith("ahead-drop")]
    del dropped
    for thread in threads:
        thread.join(10)
    assert not list_threads("ahead-drop")


def test_waiting_is_counted(disk):
    reads = ReadAhead(disk.read, 1, "ahead-wait")
    threading.Timer(0.05, disk.gate.set).start()
    reads.announce(1, 1)
    reads.take(1, 1)
    assert 0.03 < reads.waited_s < 5
    reads.close()
