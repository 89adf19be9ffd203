"""Preemption: a signal requests that this process stops, and training saves at its next step.

On SLURM the job is queued again; on this machine it stands as stopped until the same command comes.
Whatever is not training has nothing to save and ends at once; files are complete or absent, so
it is repeated then.
"""

import _thread
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Preempted(BaseException):
    """The job stops, to go on later. No Exception: code that handles failures must let it pass."""


WAKE = signal.SIGURG
"""Does nothing but end a system call that the main thread waits in."""
_requested = threading.Event()
_deferring = threading.Event()


def install_handler(signum: signal.Signals) -> None:
    """Makes the signal a request to this process, and to no child process of it.

    Call it in the main thread, before children are started.
    """
    process = os.getpid()

    def on_signal(_: int, __: FrameType | None) -> None:
        # A forked child inherits the handler.
        if os.getpid() == process:
            request()

    def wait_for_signal() -> None:
        while True:
            signal.sigwait({signum})
            # Runs the handler in the main thread, where Preempted can end the work: as soon as
            # that thread runs Python, which one that waits for a process or a disk is woken to do.
            _thread.interrupt_main(signum)
            signal.pthread_kill(threading.main_thread().ident or 0, WAKE)

    _requested.clear()
    signal.signal(signum, on_signal)
    signal.signal(WAKE, lambda *_: None)
    # SLURM signals whole process groups, and the default action would end a child. A blocked signal
    # does nothing, and children inherit that across fork and exec; a thread takes it instead.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signum})
    threading.Thread(target=wait_for_signal, name="preemption", daemon=True).start()


def install_end_handler(signum: signal.Signals) -> None:
    """Makes the signal, sent to this process alone, a request; a forked child is ended by it.

    For a signal that children must hear too, as those who started them end them by it.
    """
    process = os.getpid()

    def on_signal(number: int, _: FrameType | None) -> None:
        if os.getpid() != process:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        # One is enough: a whole group may be told, and then each of its jobs once more.
        elif not is_requested():
            request()

    _requested.clear()
    signal.signal(signum, on_signal)


def request() -> None:
    """Sets the flag; raises Preempted here unless inside `defer`."""
    _requested.set()
    if not _deferring.is_set():
        raise Preempted


def is_requested() -> bool:
    """Whether this process is to stop."""
    return _requested.is_set()


def accept_request() -> None:
    """Takes over a request that another rank got; for inside `defer`."""
    _requested.set()


@contextmanager
def defer() -> Iterator[None]:
    """Inside, a request only sets the flag, which the caller reads where it can save.

    Raises Preempted on leaving if a request came.
    """
    _deferring.set()
    try:
        yield
    finally:
        _deferring.clear()
    if _requested.is_set():
        raise Preempted
