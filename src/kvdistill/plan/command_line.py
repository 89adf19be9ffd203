"""The command as it was typed, so that a report can say how its study is made again."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from kvdistill.redact import redact_secrets

ENTRY = "launch.py"


def retype_command(words: Sequence[str]) -> str:
    """A process's arguments as one line of a shell, but for `root=`: where it was put.

    Empty for a process that is no call of launch.py. Secrets are masked.
    """
    if not words or Path(words[0]).name != ENTRY:
        return ""
    typed = [word for word in words[1:] if not word.startswith("root=")]
    return redact_secrets(shlex.join(["python", ENTRY, *typed]))
