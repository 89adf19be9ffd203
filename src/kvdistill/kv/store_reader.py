"""Reads texts of a store into pinned memory, and proves their bytes at their first read.

A process proves what it reads and nothing else: no job waits at its start for a whole store to be
hashed, and a byte that has changed is named before it reaches a loss.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from itertools import groupby
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from kvdistill import layout
from kvdistill.errors import ArtifactError
from kvdistill.files import describe_change
from kvdistill.kv.quantise import QuantisedRows, dequantise_parts
from kvdistill.kv.shards import (
    ShardHeader,
    StoredTensor,
    digest_constants,
    digest_stored_text,
    read_constants,
    read_into,
)
from kvdistill.kv.store_index import StoreIndex

Tensors = Mapping[str, StoredTensor]


@dataclass(frozen=True)
class StoredRows:
    """The rows of some texts as they are stored, part after part, a part being of one shard.

    A plain value, so that all of it moves to a device as it is (`types.move_to_device`).
    """

    rows: Tensor
    """(rows, columns) in the precision that they are stored in."""
    positions: Int[Tensor, "rows groups"]
    """Of each row's token in its text, for each group of layers."""
    sample: Int[Tensor, " rows"]
    """Which of the texts that were read each row is of."""
    lengths: Sequence[int]
    """Rows of each part."""
    mean: Float[Tensor, "parts columns"] | None
    scale: Float[Tensor, "parts columns"] | None

    def dequantise(self) -> Float[Tensor, "rows columns"]:
        """The rows in float32, on the device that they are on."""
        if self.mean is None:
            return self.rows
        scales = [None] * len(self.lengths) if self.scale is None else self.scale
        rows = self.rows.split(list(self.lengths))
        return dequantise_parts(
            [QuantisedRows(*each) for each in zip(rows, self.mean, scales, strict=True)]
        )


class StoreReader:
    """Reads the shards of one store, from any number of threads."""

    def __init__(self, folder: Path, index: StoreIndex) -> None:
        """Opens nothing yet."""
        self.folder, self.index = folder, index
        self._tensors: dict[int, Tensors] = {}
        """By shard, once its header and constants are proven."""
        self._proven = bytearray(len(index.count))
        """A flag a text. Two threads may both prove a text: that costs time and nothing else."""

    def read_texts(self, numbers: Int[Tensor, " texts"]) -> StoredRows:
        """The rows of these texts of the index, in the order in which they lie on disk.

        Raises ArtifactError naming a shard that is not what was written, or cannot be read.
        """
        shard, start, count = (
            getattr(self.index, name)[numbers].tolist() for name in ("shard", "start", "count")
        )
        order = sorted(range(len(numbers)), key=lambda text: (shard[text], start[text]))
        by_shard = [(s, list(texts)) for s, texts in groupby(order, key=shard.__getitem__)]
        lengths = [sum(count[text] for text in texts) for _, texts in by_shard]
        result: StoredRows | None = None
        first = 0
        for part, (number, texts) in enumerate(by_shard):
            path = layout.shard_path(self.folder, number)
            with open_shard(path) as file:
                tensors = self.open_tensors(file, path, number)
                if result is None:
                    result = allocate_rows(tensors, lengths)
                self.read_constants(file, path, tensors, result, part)
                for text in texts:
                    span = slice(first, first + count[text])
                    result.sample[span] = text
                    self.read_text(
                        file, path, tensors, result, span, start[text], int(numbers[text])
                    )
                    first = span.stop
        assert result is not None, "a batch has a text"
        return result

    def read_text(
        self,
        file: FileIO,
        path: Path,
        tensors: Tensors,
        result: StoredRows,
        span: slice,
        start: int,
        number: int,
    ) -> None:
        """Fills the rows `span` of the result with those of text `number`, and proves them."""
        views = []
        for name, target in (("rows", result.rows), ("tokens", result.positions)):
            view = view_bytes(target[span])
            read_into(file, path, tensors[name].start + start * tensors[name].row_bytes, view)
            views.append(view)
        if not self._proven[number]:
            if digest_stored_text(*views) != bytes(self.index.text_digest[number].tolist()):
                raise ArtifactError(describe_change(path.parent, path))
            self._proven[number] = True

    def open_tensors(self, file: FileIO, path: Path, number: int) -> Tensors:
        """Where a shard's tensors lie; its header and constants are proven the first time."""
        if number not in self._tensors:
            header = ShardHeader.read(file, path)
            digest = digest_constants(header, read_constants(file, path, header))
            if digest != bytes(self.index.shard_digest[number].tolist()):
                raise ArtifactError(describe_change(path.parent, path))
            self._tensors[number] = header.tensors
        return self._tensors[number]

    def read_constants(
        self, file: FileIO, path: Path, tensors: Tensors, result: StoredRows, part: int
    ) -> None:
        """Fills a part's mean and scale; not kept, since over many shards they are gigabytes."""
        for name, target in (("mean", result.mean), ("scale", result.scale)):
            if target is not None:
                read_into(file, path, tensors[name].start, view_bytes(target[part]))


def open_shard(path: Path) -> FileIO:
    """The file, unbuffered. Raises ArtifactError where it is missing or cannot be opened."""
    try:
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise ArtifactError(describe_change(path.parent, path)) from error
    except OSError as error:
        raise ArtifactError(f"{path} cannot be opened: {error}. Repeat the command.") from error


def allocate_rows(tensors: Tensors, lengths: Sequence[int]) -> StoredRows:
    """Room for so many rows of such tensors in each part."""
    total, columns = sum(lengths), tensors["rows"].shape[1]
    mean, scale = (
        allocate_host((len(lengths), columns), torch.float32) if name in tensors else None
        for name in ("mean", "scale")
    )
    return StoredRows(
        rows=allocate_host((total, columns), tensors["rows"].dtype),
        positions=allocate_host((total, tensors["tokens"].shape[1]), tensors["tokens"].dtype),
        sample=allocate_host((total,), torch.long),
        lengths=lengths,
        mean=mean,
        scale=scale,
    )


def allocate_host(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor of the CPU's memory, pinned where there is a GPU: only then copies run beside it.

    PyTorch keeps pinned blocks and gives each to another tensor once copies from it are done.
    """
    return torch.empty(shape, dtype=dtype, pin_memory=torch.cuda.is_available())


def view_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor of the CPU, to be read into."""
    return tensor.view(-1).view(torch.uint8).numpy().data
