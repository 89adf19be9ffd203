"""Reads what was announced in threads, while the caller computes.

Threads, not processes: reading, hashing and copying let go of Python's lock, and what is read need
not be copied from one process to another.
"""

import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Request = TypeVar("Request")
Result = TypeVar("Result")


class ReadAhead(Generic[Request, Result]):
    """Reads requests in the order in which they are announced; called from one thread alone.

    At most `depth` results wait to be taken: they may be large. What a thread raises is raised
    where the result is taken. The pool's threads end with this object, with `close`, and before the
    interpreter does; none outlives the read that it is at.
    """

    def __init__(self, read: Callable[[Request], Result], depth: int, name: str) -> None:
        """`read` is called in threads named after `name`; none is started before it is needed."""
        self._read, self._depth = read, depth
        self._pool = ThreadPoolExecutor(depth, thread_name_prefix=name)
        self._announced: dict[Hashable, Request] = {}
        """Not begun, in order."""
        self._begun: dict[Hashable, Future[Result]] = {}
        self.waited_s = 0.0
        """Seconds that callers of `take` have waited."""

    def announce(self, key: Hashable, request: Request) -> None:
        """Lets this be read; `take` with the same key gets it."""
        if key not in self._begun:
            self._announced[key] = request
            self._begin()

    def take(self, key: Hashable, request: Request) -> Result:
        """What was read; read here and now where nobody announced it or its turn has not come."""
        began = time.perf_counter()
        try:
            future = self._begun.pop(key, None)
            self._announced.pop(key, None)
            # A place is free: the next one is read while this one is waited for.
            self._begin()
            return self._read(request) if future is None else future.result()
        finally:
            self.waited_s += time.perf_counter() - began

    def close(self) -> None:
        """Drops what is not begun, and waits for the threads to end."""
        self._announced.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> None:
        while self._announced and len(self._begun) < self._depth:
            key = next(iter(self._announced))
            self._begun[key] = self._pool.submit(self._read, self._announced.pop(key))
