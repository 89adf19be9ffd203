"""Within it transformers parses a GGUF file once, and says how many of its tensors are unpacked.

transformers parses the whole vocabulary anew for a config, a tokenizer and the weights, through
`gguf.GGUFReader`, which slices a memory map a million times for 260,000 tokens. The parsed file is
kept here, and its bytes are sliced as a plain array, which is four times as fast. The table of an
architecture's names of tensors, which it makes anew for every module of a model, is kept as well.
Unpacking itself is the small part of a small file, and is left to the library.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock

import numpy as np


@contextmanager
def parse_once(report_progress: Callable[[int, int], None]) -> Iterator[None]:
    """Within it every reader of one file is the same; `report_progress` takes (unpacked, all).

    What is read stays what transformers makes of it. An architecture that transformers reads
    without the package gguf is parsed quickly as it is, and its tensors are not counted.
    """
    import gguf  # an extra; who reads no GGUF file needs none

    tensors: list[int] = []

    class PlainReader(gguf.GGUFReader):
        """Reads a file's bytes as an array; each slice of a memory map costs microseconds more."""

        @property
        def data(self) -> Any:
            """The file's bytes, mapped."""
            return self.__dict__["data"]

        @data.setter
        def data(self, mapped: Any) -> None:
            self.__dict__["data"] = mapped.view(np.ndarray)

    @cache
    def open_reader(path: str) -> Any:
        reader = PlainReader(path)
        tensors[:] = [0, len(reader.tensors)]
        return reader

    unpack = gguf.dequantize

    def unpack_and_count(*packed: Any) -> Any:
        unpacked = unpack(*packed)
        tensors[0] += 1
        report_progress(tensors[0], tensors[1])
        return unpacked

    # transformers imports these where it calls them, so it finds what stands here at that time.
    with (
        mock.patch.object(gguf, "GGUFReader", open_reader),
        mock.patch.object(gguf, "dequantize", unpack_and_count),
        mock.patch.object(gguf, "get_tensor_name_map", cache(gguf.get_tensor_name_map)),
    ):
        yield
