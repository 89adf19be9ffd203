"""Being told to make room: a signal asks, and training answers at its next step boundary.

Whatever is not training has nothing to save and is ended where it stands; files are whole or
absent, so it begins again.
"""

import _thread
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The work was put aside, to be continued. No Exception: nobody must take it for a failure."""


_asked = threading.Event()
_deferred = threading.Event()


def listen(signum: signal.Signals) -> None:
    """Lets the signal ask this process, and no helper of it.

    The signal is blocked, and helpers inherit that: whether forked or executed, they outlive it.
    A thread takes it from the kernel. Call in the main thread, before helpers are started.
    """
    process = os.getpid()

    def answer(_: int, __: FrameType | None) -> None:
        if os.getpid() == process:
            ask()

    def wait() -> None:
        while True:
            signal.sigwait({signum})
            _thread.interrupt_main(signum)

    _asked.clear()
    signal.signal(signum, answer)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signum})
    threading.Thread(target=wait, name="interrupt", daemon=True).start()


def ask() -> None:
    """Sets the flag, and unless training is on raises Interrupted here and now."""
    _asked.set()
    if not _deferred.is_set():
        raise Interrupted


def asked() -> bool:
    """Whether this process was asked to make room."""
    return _asked.is_set()


def agree() -> None:
    """Another rank was asked, so this one is too. For inside `deferred`."""
    _asked.set()


@contextmanager
def deferred() -> Iterator[None]:
    """Inside, a request only sets the flag; whoever runs here looks at it where he can save.

    Raises Interrupted on leaving, where one came.
    """
    _deferred.set()
    try:
        yield
    finally:
        _deferred.clear()
    if _asked.is_set():
        raise Interrupted
