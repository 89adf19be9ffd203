"""The machine's own faults: no space, a folder that cannot be written, a clock that jumps.

Needs root (to mount) and the program faketime; without them the faults are named and left out.
"""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.faults.study import Calm, Ended, kill

JUMPS = ("-2h", "+2h", "-400d", "+400d")


def faults(
    calm: Calm, place: Path, chance: random.Random, quick: bool
) -> Iterator[tuple[str, str]]:
    """Each is met in the middle of a study, which is then continued without it."""
    if os.geteuid() == 0:
        yield from fill_disk(calm, place / "full", chance, 1 if quick else 8)
        yield from remount_read_only(calm, place / "read-only", chance, 0 if quick else 4)
    if shutil.which("faketime") and not quick:
        yield from jump_clock(calm, place / "clock", chance, JUMPS)


def mount(root: Path, options: str, *, again: bool = False) -> None:
    """A file system in memory."""
    root.mkdir(exist_ok=True)
    options = f"remount,{options}" if again else options
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(root)]
    for _ in range(60):  # what was killed may hold a file open for a moment yet
        if subprocess.run(command, check=False).returncode == 0:
            return
        time.sleep(0.5)
    raise SystemExit(f"{root} could not be mounted with {options}")


def fill_disk(
    calm: Calm, root: Path, chance: random.Random, count: int
) -> Iterator[tuple[str, str]]:
    """A disk with room for a part of the study, then for all of it."""
    needed = sum(path.stat().st_size for path in calm.root.rglob("*") if path.is_file())
    for _ in range(count):
        size = int(needed * chance.uniform(0.02, 0.9))
        mount(root, f"size={size}")
        try:
            first = calm.run(root)
            mount(root, f"size={needed * 8}", again=True)
            yield f"a disk of {size / needed:.0%}", judge_recovery(calm, root, first, "disk")
        finally:
            subprocess.run(["umount", "--lazy", str(root)], check=True)


def remount_read_only(
    calm: Calm, root: Path, chance: random.Random, count: int
) -> Iterator[tuple[str, str]]:
    """A file system that turns read-only in the middle of a study."""
    for _ in range(count):
        instant = chance.uniform(0, calm.seconds)
        mount(root, "size=1g")
        try:
            command = calm.start(root)
            time.sleep(instant)
            kill(command)
            mount(root, "size=1g,ro", again=True)
            first = calm.run(root)
            mount(root, "size=1g,rw", again=True)
            yield f"read-only after {instant:.1f} s", judge_recovery(calm, root, first, "read-only")
        finally:
            subprocess.run(["umount", "--lazy", str(root)], check=True)


def jump_clock(
    calm: Calm, root: Path, chance: random.Random, far: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """A command killed, and continued under another clock."""
    for jump in far:
        instant = chance.uniform(0, calm.seconds)
        command = calm.start(root)
        time.sleep(instant)
        kill(command)
        ended = calm.run(root, before=["faketime", "-f", jump])
        yield f"the clock {jump} after {instant:.1f} s", calm.judge(root, ended)
        shutil.rmtree(root)


def judge_recovery(calm: Calm, root: Path, first: Ended, named: str) -> str:
    """How it ended: refused with a line that names the cause, then the same bits."""
    if first.code != 0 and not (first.clear and named in first.stderr.lower()):
        return f"wrong: exit code {first.code}, {first.stderr}"
    last = calm.judge(root, calm.run(root))
    return (
        last if first.code == 0 or last != "same" else f"refused: {first.stderr.splitlines()[-1]}"
    )
