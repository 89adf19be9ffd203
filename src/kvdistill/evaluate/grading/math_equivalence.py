"""Whether two answers are the same mathematics: math-verify, in a child process that can be killed.

math-verify stops a hopeless simplification with SIGALRM, which works in a main thread only, and
without it one answer can hang for good. A child is killed instead, from any thread or worker. Its
other half is this module run as `python -m kvdistill.evaluate.grading.math_equivalence`, one JSON line a question.
"""

import atexit
import json
import os
import queue
import subprocess
import sys
import threading

START = 120.0  # seconds; importing sympy on a busy machine
TIMEOUT = 10.0  # seconds an answer; those of MATH take milliseconds
LONGEST = 400  # characters; no gold answer of MATH has half as many

_lock = threading.Lock()


def same(given: str, gold: str, timeout: float = TIMEOUT) -> bool:
    """Whether `given` equals `gold` as mathematics; an answer that takes too long is wrong."""
    if len(given) > LONGEST:
        return False
    if "".join(given.split()) == "".join(gold.split()):
        return True
    with _lock:
        return _child().ask(given, gold, timeout)


class Child:
    """One process with math-verify loaded, asked a line at a time."""

    def __init__(self) -> None:
        # The child must find what this process finds, installed or not.
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        self.answers: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        if self._wait(START) is None:
            self.close()
            raise RuntimeError(
                "math-verify did not start; see python -m kvdistill.evaluate.grading.math_equivalence"
            )

    def ask(self, given: str, gold: str, timeout: float) -> bool:
        """The verdict; False, and the process ended, where there is none in time."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([given, gold]) + "\n")
        self.process.stdin.flush()
        answer = self._wait(timeout)
        if answer is None:
            self.close()
        return answer == "true"

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

    def _wait(self, seconds: float) -> str | None:
        try:
            return self.answers.get(timeout=seconds)
        except queue.Empty:
            return None

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.answers.put(line.strip())
        self.answers.put(None)  # The process is gone: whoever waits need not.


_children: list[Child] = []


def _child() -> Child:
    if not _children or not _children[-1].alive:
        _children.append(Child())
    return _children[-1]


@atexit.register
def close() -> None:
    """End the child, if there is one."""
    while _children:
        _children.pop().close()


def _verdict(given: str, gold: str) -> bool:
    from math_verify import parse, verify

    def read(text: str) -> list:
        # Both as a formula and as plain text: "3/4" has no dollars, "\frac34" has no box.
        return parse(f"${text}$", parsing_timeout=None) or parse(text, parsing_timeout=None)

    return verify(read(gold), read(given), timeout_seconds=None)


def _serve() -> None:
    import math_verify  # noqa: F401

    _say("ready")
    for line in sys.stdin:
        given, gold = json.loads(line)
        try:
            _say(json.dumps(bool(_verdict(given, gold))))
        except Exception:  # noqa: BLE001  (whatever a parser raises on a model's text: no match)
            _say("false")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve()
