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


class Preempted(BaseException):
    """The work was put aside, to be continued. No Exception: nobody must take it for a failure."""


_requested = threading.Event()
_deferring = threading.Event()


def install_handler(signum: signal.Signals) -> None:
    """Lets the signal ask this process, and no helper of it.

    The signal is blocked, and helpers inherit that: whether forked or executed, they outlive it.
    A thread takes it from the kernel. Call in the main thread, before helpers are started.
    """
    process = os.getpid()

    def on_signal(_: int, __: FrameType | None) -> None:
        if os.getpid() == process:
            request()

    def wait_for_signal() -> None:
        while True:
            signal.sigwait({signum})
            _thread.interrupt_main(signum)

    _requested.clear()
    signal.signal(signum, on_signal)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signum})
    threading.Thread(target=wait_for_signal, name="interrupt", daemon=True).start()


def request() -> None:
    """Sets the flag, and unless training is on raises Interrupted here and now."""
    _requested.set()
    if not _deferring.is_set():
        raise Preempted


def is_requested() -> bool:
    """Whether this process was asked to make room."""
    return _requested.is_set()


def accept_request() -> None:
    """Another rank was asked, so this one is too. For inside `deferred`."""
    _requested.set()


@contextmanager
def defer() -> Iterator[None]:
    """Inside, a request only sets the flag; whoever runs here looks at it where he can save.

    Raises Interrupted on leaving, where one came.
    """
    _deferring.set()
    try:
        yield
    finally:
        _deferring.clear()
    if _requested.is_set():
        raise Preempted
