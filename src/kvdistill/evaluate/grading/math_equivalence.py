"""Whether two answers are the same mathematics: math-verify, in a child process that can be killed.

math-verify stops a hopeless simplification with SIGALRM, which works in a main thread only, and
without it one answer can hang for good. A child is killed instead, from any thread or worker.
The child runs this module with `python -m`: one JSON line [response, gold] in, `true` or `false`
out.
"""

import atexit
import json
import os
import queue
import subprocess
import sys
import threading

START_TIMEOUT = 120.0  # seconds; importing sympy on a busy machine
TIMEOUT = 10.0  # seconds an answer; those of MATH take milliseconds
MAX_LENGTH = 400  # characters; no gold answer of MATH has half as many

_lock = threading.Lock()


def is_equivalent(response: str, gold: str, timeout: float = TIMEOUT) -> bool:
    """Whether `given` equals `gold` as mathematics; an answer that takes too long is wrong."""
    if len(response) > MAX_LENGTH:
        return False
    if "".join(response.split()) == "".join(gold.split()):
        return True
    # One child answers one question at a time, or two threads would read each other's replies.
    with _lock:
        return _get_process().verify(response, gold, timeout)


class VerifierProcess:
    """One process with math-verify loaded; it verifies one pair of answers at a time."""

    def __init__(self) -> None:
        # The child must find what this process finds, installed or not.
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        self.replies: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read_replies, daemon=True).start()
        if self._next_reply(START_TIMEOUT) is None:
            self.close()
            raise RuntimeError(
                "math-verify did not start; "
                "see python -m kvdistill.evaluate.grading.math_equivalence"
            )

    def verify(self, response: str, gold: str, timeout: float) -> bool:
        """Whether both are the same; False, and the process ended, after `timeout` seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([response, gold]) + "\n")
        self.process.stdin.flush()
        reply = self._next_reply(timeout)
        if reply is None:
            self.close()
        return reply == "true"

    def close(self) -> None:
        """End the process and its pipes."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def _next_reply(self, seconds: float) -> str | None:
        try:
            return self.replies.get(timeout=seconds)
        except queue.Empty:
            return None

    def _read_replies(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.replies.put(line.strip())
        self.replies.put(None)  # The process is gone: whoever waits need not.


_processes: list[VerifierProcess] = []


def _get_process() -> VerifierProcess:
    if not _processes or not _processes[-1].alive:
        _processes.append(VerifierProcess())
    return _processes[-1]


@atexit.register
def close_process() -> None:
    """End the child, if there is one."""
    while _processes:
        _processes.pop().close()


def _verify_in_process(response: str, gold: str) -> bool:
    from math_verify import parse, verify  # sympy is slow to import; only the child needs it

    def parse_text(text: str) -> list:
        # Both as a formula and as plain text: "3/4" has no dollars, "\frac34" has no box.
        return parse(f"${text}$", parsing_timeout=None) or parse(text, parsing_timeout=None)

    return verify(parse_text(gold), parse_text(response), timeout_seconds=None)


def _serve_requests() -> None:
    import math_verify  # noqa: F401  (before "ready", so that no answer's time pays for sympy)

    _write_line("ready")
    for line in sys.stdin:
        response, gold = json.loads(line)
        try:
            _write_line(json.dumps(bool(_verify_in_process(response, gold))))
        except Exception:  # noqa: BLE001  (whatever a parser raises on a model's text: no match)
            _write_line("false")


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve_requests()
