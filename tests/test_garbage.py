"""The collector pauses while modules are imported; what jobs keep of freed memory is given back."""

import gc
import os
import platform
import subprocess
import sys

import pytest

from kvdistill.cluster.environment import KEEP_PAGES, TUNABLES
from kvdistill.garbage import keep_imports, pause_garbage_collection


def test_nothing_is_collected_while_it_pauses_and_it_goes_on_as_before() -> None:
    with pause_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with pause_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_was_imported_is_left_alone_and_nothing_where_nothing_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: calls.append(gc.isenabled()))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    for count in (1, 1):  # the second time it is there
        with keep_imports():
            import colorsys  # noqa: F401
        assert calls == [False] * count


FREES = """
import resource
from pathlib import Path

from kvdistill.garbage import give_back_memory

def count_resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

parts = [bytearray(b"x" * 2**24) for _ in range(16)]  # 256 MiB
last = bytearray(64)  # else the end of the heap would be given back without being asked
del parts
kept = count_resident()
give_back_memory()
print(kept - count_resident())
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="malloc_trim and tunables are glibc's"
)
def test_what_jobs_keep_of_freed_memory_is_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FREES], env=os.environ | {TUNABLES: KEEP_PAGES},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert int(done.stdout) > 200 * 2**20
