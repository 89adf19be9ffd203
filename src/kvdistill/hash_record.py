"""hashes.json: the hashes of large files, so that none is read again only to be hashed.

A job that begins reads gigabytes of weights twice otherwise, once for their hash, and of teachers
whose keys and values are stored it reads them for nothing else. As git's index does, a file is
taken for what it was while its size, its inode and the times of its last change are those on
record: writing, replacing or truncating it moves the time of its status change (`st_ctime`), which
no program can set.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from kvdistill.files import sha256, write_json

LARGE_BYTES = 1 << 25
"""Smaller files are hashed each time: 20 ms or less."""
SETTLED_S = 2.0
"""A change within the clock of a file system after the hash would leave no trace: git calls such
an entry racy. What changed less than so many seconds before it was read is not put on record."""


def make_hasher(record: Path) -> Callable[[Path], str]:
    """What gives the content hash of a file, from `record` where that has it.

    It reads and hashes what is not on record, or has changed since, and records what it found. A
    folder that cannot be written has no record, and is read each time.
    """

    def hash_file(path: Path) -> str:
        before = path.stat()
        if before.st_size < LARGE_BYTES:
            return sha256(path)
        name = os.path.relpath(path.resolve(), record.parent.resolve())
        known = read_record(record).get(name)
        if known is not None and known["state"] == describe_state(before):
            return str(known["sha256"])
        began = time.time()
        digest = sha256(path)
        settled = began - before.st_ctime_ns / 1e9 > SETTLED_S
        if settled and describe_state(path.stat()) == describe_state(before):
            entry = {"state": describe_state(before), "sha256": digest}
            with contextlib.suppress(OSError):  # another user's artefact, or a read-only mount
                write_json(record, {**read_record(record), name: entry})
        return digest

    return hash_file


def read_record(record: Path) -> dict[str, dict[str, object]]:
    """Name -> its state and hash; nothing where there is no record, or none that can be read."""
    try:
        entries = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def describe_state(stat: os.stat_result) -> list[int]:
    """What of a file changes when it is written, cut or replaced.

    The device is left out: nodes of a cluster number the same mount differently.
    """
    return [stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns]
