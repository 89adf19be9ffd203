"""A clock whose hand is on one part at a time."""

from typing import Any

import pytest
import torch

from kvdistill.train.speed import step_clock
from kvdistill.train.speed.step_clock import PARTS, StepClock
from kvdistill.types import KV, Layer, Tokens

NOW = [0.0]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StepClock:
    """One that goes on only as `NOW` does."""
    monkeypatch.setattr(step_clock, "perf_counter", lambda: NOW[0])
    return StepClock()


def wait(seconds: float) -> None:
    NOW[0] += seconds


def test_each_part_gets_the_time_it_ran_and_all_of_it_is_some_parts(clock: StepClock) -> None:
    clock.start()
    wait(1)
    with clock.time_part("data"):
        wait(2)
    clock.switch_to("student")
    wait(4)
    with clock.time_part("rooms"):
        wait(8)
        with clock.time_part("teachers"):
            wait(16)
        wait(32)
    clock.switch_to("optimizer")
    wait(64)
    seconds = clock.read_seconds()
    assert seconds == {
        "student": 4, "teachers": 16, "rooms": 40, "data": 2, "optimizer": 64, "other": 1,
    }  # fmt: skip
    assert tuple(seconds) == PARTS


def test_what_runs_while_it_stands_belongs_to_no_part(clock: StepClock) -> None:
    clock.start()
    wait(1)
    clock.stop()
    with clock.time_part("rooms"):
        wait(100)
    clock.switch_to("student")
    wait(100)
    clock.start()
    wait(2)
    assert sum(clock.read_seconds().values()) == 3


def test_reading_twice_counts_nothing_twice_and_goes_on(clock: StepClock) -> None:
    clock.start()
    clock.switch_to("student")
    wait(1)
    assert clock.read_seconds()["student"] == clock.read_seconds()["student"] == 1
    wait(1)
    assert clock.read_seconds()["student"] == 2
    assert len(clock.marks) == 1


def test_an_error_inside_a_part_leaves_the_hand_where_it_was(clock: StepClock) -> None:
    clock.start()
    clock.switch_to("student")
    with pytest.raises(ValueError, match="broken"), clock.time_part("rooms"):
        raise ValueError("broken")
    assert clock.part == "student"


def test_seconds_of_a_checkpoint_are_gone_on_from(clock: StepClock) -> None:
    clock.load_seconds({"student": 5.0})
    clock.start()
    clock.switch_to("student")
    wait(1)
    assert clock.read_seconds()["student"] == 6


def test_the_rooms_backward_ends_where_the_students_own_begins(clock: StepClock) -> None:
    weight = torch.ones(4, requires_grad=True)
    hidden = weight * 2
    keys = hidden.view(1, 1, 1, 4)
    hidden.register_hook(lambda _: wait(5))  # the student's own backward
    mask = torch.ones(1, 1, dtype=torch.bool)
    tokens = Tokens(torch.ones(1, 1, dtype=torch.long), mask, mask)
    captured = {2: Layer(KV(keys, keys.detach(), tokens.mask), tokens)}
    clock.start()
    clock.switch_to("student")
    watched = clock.time_rooms_backward(captured)[2].kv.keys

    class Room(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, x: torch.Tensor) -> torch.Tensor:
            return x * 3

        @staticmethod
        def backward(_: Any, gradient: torch.Tensor) -> torch.Tensor:
            wait(7)
            return gradient * 3

    kv_loss = Room.apply(watched).sum()
    clock.begin_rooms_at(kv_loss)
    (kv_loss + hidden.sum()).backward()
    seconds = clock.read_seconds()
    assert (seconds["rooms"], seconds["student"]) == (7, 5)
    assert torch.equal(weight.grad, torch.full((4,), 8.0))


def test_a_gpus_seconds_are_of_its_own_events(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = NOW[0]

        def elapsed_time(self, later: "Event") -> float:
            return 1000 * (later.at - self.at)

        def synchronize(self) -> None:
            waited.append(self.at)

    monkeypatch.setattr(torch.cuda, "Event", Event)
    clock = StepClock()
    clock.on_gpu = True
    clock.start()
    for part in ("data", "student", "rooms", "student"):
        clock.switch_to(part)
        wait(2)
    assert not waited, "no step waits for the GPU"
    assert clock.read_seconds()["student"] == 4
    assert len(waited) == 1
