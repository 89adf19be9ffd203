"""In which order texts are read: a function of the seed and the position, nothing else.

Two arms with one seed therefore see the same ids in the same batches, whatever they train, and
a run continues from any position without replaying what came before.
"""

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from kvdistill.errors import ConfigError

LENGTH_WINDOW = 32
"""Batches sorted by length together: wide enough to save padding, narrow enough to stay random."""


def draw_epoch_order(
    num: int,
    seed: int,
    epoch: int,
    *,
    lengths: Sequence[int] | None = None,
    batch_size: int = 1,
) -> list[int]:
    """The texts of one epoch, each once.

    With `lengths`, texts of like length share a batch of `batch_size`: windows of the random
    order are sorted, and their batches shuffled.
    """
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
    """At most `wanted` indices spread over `count`."""
    return [i * count // most for i in range(most)] if most < count else list(range(count))


def _mix_seed(seed: int, epoch: int) -> int:
    """Far apart for neighbouring seeds and epochs (splitmix64), and within torch's range."""
    x = (seed * 0x9E3779B97F4A7C15 + (epoch + 1) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (x ^ (x >> 31)) >> 1


class ResumableSampler(Sampler[int]):
    """A run's whole reading, epoch after epoch, cut to the number of texts it trains on.

    One pass over it is one run, so batches never straddle a short last one.
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
        """`total` texts out of `num`, from position `start` on; `lengths` groups as in `order`."""
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
            epoch, index = divmod(position, self.epoch_size)
            texts = draw_epoch_order(
                self.num, self.seed, epoch, lengths=self.lengths, batch_size=self.batch_size
            )[index : min(self.epoch_size, index + self.total - position)]
            yield from texts
            position += len(texts)
