"""Whether two answers are the same mathematics: math-verify, in a child process that can be killed.

math-verify stops a hopeless simplification with SIGALRM, which works in a main thread only, and
without it one answer can hang for good. A child is killed instead, from any thread or worker.
The child is `math_verifier.py`.
"""

import atexit
import json
import os
import queue
import subprocess
import sys
import threading

from kvdistill.evaluate.grading import math_verifier
from kvdistill.evaluate.grading.math_forms import compare_forms, rewrite_signs
from kvdistill.evaluate.grading.math_verifier import Question

START_TIMEOUT = 120.0  # seconds; importing sympy on a busy machine
TIMEOUT = 10.0  # seconds an answer; those of MATH take milliseconds
MAX_LENGTH = 400  # characters of an answer; no gold answer of MATH has half as many
MAX_RESPONSE = 20_000  # characters of a whole response, of which the end is kept

_lock = threading.Lock()


def is_equivalent(response: str, gold: str, timeout: float = TIMEOUT) -> bool:
    """Whether both are the same mathematics; an answer that takes too long is wrong."""
    if len(response) > MAX_LENGTH:
        return False
    if "".join(response.split()) == "".join(gold.split()):
        return True
    verdict = compare_forms(response, gold)
    if verdict is not None:
        return verdict
    return _ask("equal", rewrite_signs(response), rewrite_signs(gold), timeout)


def is_right_by_math_verify(response: str, gold: str, timeout: float = TIMEOUT) -> bool:
    """The verdict of math-verify alone, its own extraction included, on a whole response.

    Shares no code with the extractors here, so that it errs where they do not. The study's mark is
    given to it in words that it knows.
    """
    known = response[-MAX_RESPONSE:].replace("####", "\nThe final answer is: ")
    return _ask("holds", known, gold, timeout)


def _ask(question: Question, response: str, gold: str, timeout: float) -> bool:
    # One child answers one question at a time, or two threads would read each other's replies.
    with _lock:
        return _get_process().verify(response, gold, timeout, question)


class VerifierProcess:
    """One process with math-verify loaded; it verifies one pair of answers at a time."""

    def __init__(self) -> None:
        # The child must find what this process finds, installed or not.
        self.process = subprocess.Popen(
            [sys.executable, "-m", math_verifier.__name__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        self.replies: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read_replies, daemon=True).start()
        if self._next_reply(START_TIMEOUT) is None:
            self.close()
            raise RuntimeError(f"math-verify did not start; see python -m {math_verifier.__name__}")

    def verify(
        self, response: str, gold: str, timeout: float, question: Question = "equal"
    ) -> bool:
        """Whether both are the same; False, and the process ended, after `timeout` seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([question, response, gold]) + "\n")
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
