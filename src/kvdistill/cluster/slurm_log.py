"""The log of a job's script, where SLURM and the shell write why a job ended before it could."""

import re
from pathlib import Path

from kvdistill.sanitise import escape_hidden

TAIL_BYTES = 64 * 1024
"""Read of a log's end: a job that lives long prints into its own log.txt, not here."""
QUOTED_CHARS = 300
FOLLOWS = re.compile(
    r"^srun: error: .*(?:Exited with exit code|Terminated|Killed)|^srun: Terminating"
)
"""What srun says of a task that failed, whatever the cause was."""
ERRORS = (
    # slurmstepd: error: *** JOB 7 ON node CANCELLED ... DUE TO TIME LIMIT ***
    re.compile(r"^(?:slurm\w*|srun|sbatch|scontrol): (?:error|fatal): .+"),
    # /var/spool/slurmd/job00007/slurm_script: line 21: module: command not found
    re.compile(r"^\S+: line \d+: .+"),
    # The last line of a traceback of Python's.
    re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt)(?:: .+)?$"),
    # env, containers: /usr/bin/env: 'python': No such file or directory
    re.compile(r"^\S+: .*(?:No such file|Permission denied|not found|Exec format).*"),
    re.compile(r"^(?:FATAL|ERROR|error|fatal)\b.*"),
)
"""Kinds of line, the nearest to a cause first."""


def find_error(log: Path) -> str | None:
    """The line of a log that says why a job ended; None where none does, or there is no log.

    The last of its kind: a job that was queued again appends to the log of its former lives.
    """
    if not log.is_file():
        return None
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - TAIL_BYTES, 0))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    causes = [line for line in lines if not FOLLOWS.match(line)]
    for kind, among in ((kind, among) for among in (causes, lines) for kind in ERRORS):
        if matches := [line for line in among if kind.match(line)]:
            return escape_hidden(matches[-1][:QUOTED_CHARS])
    return None
