"""Which part of a step the time goes to: a clock whose hand is on one part at a time.

The seconds of all parts add up to the time the clock ran. On a CPU they are read off the process's
own clock. On a GPU, which works long after Python has gone on, a CUDA event stands in the stream
where the part changes; the events are read where a line of the curves is written, so that no step
waits for the GPU.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from kvdistill import distributed
from kvdistill.types import Layer

Part = Literal["student", "teachers", "rooms", "data", "optimizer", "other"]
PARTS: tuple[Part, ...] = get_args(Part)
"""student: its forward and backward, the loss, and the gradients' way between ranks. teachers: K
and V read by the teachers, or from their store, compressed. rooms: from there to the KV loss, and
its backward down to the student's K and V. data: waiting for batches, and for all ranks to have
theirs. optimizer: clipping and the step. other: what the steps leave, as lines and checkpoints."""


class StepClock:
    """Seconds by part, from `start` to `stop`, over all of these spans; stands still at first."""

    def __init__(self) -> None:
        self.on_gpu = distributed.get_local_device().type == "cuda"
        self.totals: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self.part: Part | None = None
        """Where the hand is; None: the clock stands."""
        self.marks: list[tuple[Part | None, Any]] = []
        """(part that begins, when) of every move that is not in the totals yet."""

    def start(self) -> None:
        """Runs on `other`."""
        self._move_hand("other")

    def stop(self) -> None:
        """Stands still: what follows belongs to no part."""
        self._move_hand(None)

    def switch_to(self, part: Part) -> None:
        """From now on the time is this part's; nothing happens while the clock stands."""
        if self.part is not None and self.part != part:
            self._move_hand(part)

    @contextmanager
    def time_part(self, part: Part) -> Iterator[None]:
        """The part inside, what ran before afterwards."""
        before = self.part
        self.switch_to(part)
        try:
            yield
        finally:
            if before is not None:
                self.switch_to(before)

    def read_seconds(self) -> dict[str, float]:
        """Seconds by part so far; on a GPU this waits until it has reached the last mark."""
        if self.part is not None:
            self._move_hand(self.part)
        if self.on_gpu and self.marks:
            self.marks[-1][1].synchronize()
        for (part, began), (_, ended) in zip(self.marks, self.marks[1:], strict=False):
            if part is not None:
                self.totals[part] += (
                    began.elapsed_time(ended) / 1000 if self.on_gpu else ended - began
                )
        self.marks = self.marks[-1:]
        return dict(self.totals)

    def load_seconds(self, totals: Mapping[str, float]) -> None:
        """Goes on from what a checkpoint had."""
        self.totals = dict.fromkeys(PARTS, 0.0) | dict(totals)
        self.marks = []

    def time_rooms_backward(self, captured: Mapping[int, Layer]) -> dict[int, Layer]:
        """The layers, the first of which ends `rooms` once its gradient comes from there.

        The backward goes through the layers in reverse, so the first is the last that the rooms do.
        """
        first = min(captured)
        kv = captured[first].kv
        # Views: a hook on what was captured would wait for the student's own gradient too.
        keys, values = (part.view_as(part) for part in (kv.keys, kv.values))
        for part in (keys, values):
            if part.requires_grad:
                part.register_hook(lambda _: self.switch_to("student"))
        watched = replace(captured[first], kv=replace(kv, keys=keys, values=values))
        return {**captured, first: watched}

    def begin_rooms_at(self, kv_loss: Tensor) -> None:
        """In the backward `rooms` begins where the gradient reaches their loss."""
        if kv_loss.requires_grad:
            kv_loss.register_hook(lambda _: self.switch_to("rooms"))

    def _move_hand(self, part: Part | None) -> None:
        self.part = part
        if self.on_gpu:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append((part, event))
        else:
            self.marks.append((part, perf_counter()))
