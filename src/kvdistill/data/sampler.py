"""The order in which a run reads its texts: a function of the seed and the position alone.

Two arms with one seed therefore see the same ids in the same batches, whatever they train, and
a run continues from any position without replaying what came before.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch.utils.data import Sampler

from kvdistill import distributed
from kvdistill.errors import ConfigError

T = TypeVar("T")

LENGTH_WINDOW = 32
"""Batches sorted by length at once: enough of them to save padding, few enough to stay random."""


def draw_epoch_order(
    num: int,
    seed: int,
    epoch: int,
    *,
    lengths: Sequence[int] | None = None,
    batch_size: int = 1,
) -> list[int]:
    """A permutation of `num` texts for one epoch.

    With `lengths`, texts of like length share a batch of `batch_size` (`group_by_length`): windows
    of the random order are sorted, and their batches shuffled.
    """
    # A generator of its own on the CPU: no other draw, device or rank changes the order.
    generator = torch.Generator().manual_seed(_mix_seed(seed, epoch))
    shuffled: list[int] = torch.randperm(num, generator=generator).tolist()
    if lengths is None:
        return shuffled
    width = LENGTH_WINDOW * batch_size
    grouped: list[int] = []
    for start in range(0, num, width):
        window = sorted(shuffled[start : start + width], key=lambda i: lengths[i])
        batches = [window[i : i + batch_size] for i in range(0, len(window), batch_size)]
        # A short batch stays last, or it would shift the ones after it.
        full = sum(len(batch) == batch_size for batch in batches)
        places = torch.randperm(full, generator=generator).tolist()
        for place in [*places, *range(full, len(batches))]:
            grouped += batches[place]
    return grouped


def select_evenly(count: int, most: int) -> list[int]:
    """At most `most` indices below `count`, evenly spaced; all of them where there are no more."""
    return [i * count // most for i in range(most)] if most < count else list(range(count))


def deal_to_rank(items: Sequence[T]) -> list[tuple[T, bool]]:
    """(item, whether it counts) of this rank's share of the items: every n-th of n ranks.

    All ranks get equally many, since models that are divided among them read together; where items
    are too few a rank is given the last one once more, which then does not count.
    """
    ranks = distributed.count_ranks()
    indices = range(distributed.get_rank(), -(-len(items) // ranks) * ranks, ranks)
    return [(items[min(index, len(items) - 1)], index < len(items)) for index in indices]


def _mix_seed(seed: int, epoch: int) -> int:
    """One seed for both, unrelated for neighbouring seeds and epochs (splitmix64)."""
    x = (seed * 0x9E3779B97F4A7C15 + (epoch + 1) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    # 63 bits, within the range of manual_seed.
    return (x ^ (x >> 31)) >> 1


class ResumableSampler(Sampler[int]):
    """All texts of a run, epoch after epoch, up to the number it trains on.

    One pass over it is one run of any number of epochs, so that a batch may hold the end of one
    epoch and the beginning of the next, and only the run's last batch can be short.
    """

    def __init__(
        self,
        num: int,
        total: int,
        seed: int,
        *,
        start: int = 0,
        lengths: Sequence[int] | None = None,
        batch_size: int = 1,
    ) -> None:
        """`total` texts out of `num`, of which the first `start` were read before.

        `lengths` and `batch_size` group as in `draw_epoch_order`. Raises ConfigError for no text.
        """
        if num < 1:
            raise ConfigError("data has no training text. Check data.source and data.split.")
        self.num, self.total, self.seed, self.start = num, total, seed, start
        self.lengths, self.batch_size = lengths, batch_size
        # A short last batch would shift the groups of the next epoch: leave it out there.
        short = num % batch_size if lengths is not None and num >= batch_size else 0
        self.epoch_size = num - short

    def __len__(self) -> int:
        return self.total - self.start

    def __iter__(self) -> Iterator[int]:
        position = self.start
        while position < self.total:
            # A resumed epoch is drawn again and entered in its middle.
            epoch, index = divmod(position, self.epoch_size)
            texts = draw_epoch_order(
                self.num, self.seed, epoch, lengths=self.lengths, batch_size=self.batch_size
            )[index : min(self.epoch_size, index + self.total - position)]
            yield from texts
            position += len(texts)
