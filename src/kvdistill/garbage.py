"""The garbage collector, paused where all that it would look at lives on; and freed memory."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Within it no collection runs."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def keep_imports() -> Iterator[None]:
    """Within it modules are imported, which live as long as the process: no collection ever looks.

    To look at them again and again while more are imported takes a fifth of the time in which
    torch and transformers are.
    """
    count = len(sys.modules)
    with pause_garbage_collection():
        yield
        # Else nothing new lives on, and what is alive may be garbage before long.
        if len(sys.modules) > count:
            gc.freeze()


def give_back_memory() -> None:
    """Gives the memory that was freed back to the system, where the C library has a call for it.

    It is kept between the parts of a step (`KEEP_PAGES` of cluster/environment.py). After the last
    one it takes the place in which the files of models are cached, which are read again and again.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
