"""Calls a function in a process of its own, so that the one that submits imports no torch.

One protocol for both kinds of process: the function gets one JSON value and returns one; what it
raises comes back as the same kind of error. `python -m kvdistill.cluster.run_module MODULE
FUNCTION` reads the argument on stdin and writes the answer as the last line of stdout.
"""

import errno
import json
import os
import subprocess
import sys
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from kvdistill.cluster.forkserver import SERVER, start_process
from kvdistill.errors import ConfigError, UserError
from kvdistill.garbage import keep_imports

Answer = dict[str, Any]
"""{"returned": value}, or {"raised": kind of error, "message": its one line, "errno": of what the
system refused}."""
ERRORS = {"ConfigError": ConfigError, "UserError": UserError}
LAST_CHARACTERS = 2000
"""Of what a process printed that ended without an answer."""


def call_in_new_process(module: str, function: str, argument: Any, **environment: str) -> Any:
    """What the function returns, in a new interpreter with these environment variables added.

    Raises the ConfigError or UserError that it raises; a UserError for anything else.
    """
    process = subprocess.run(
        [sys.executable, "-m", __name__, module, function],
        input=json.dumps(argument),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    if process.returncode != 0:
        raise UserError(f"{module} failed: {process.stderr.strip()[-LAST_CHARACTERS:]}")
    return unpack_answer(module, json.loads(process.stdout.splitlines()[-1]))


def call_in_server_process(module: str, function: str, argument: Any) -> Any:
    """The same in a process forked from the server of local jobs, which has imported torch."""
    receiver, sender = SERVER.Pipe(duplex=False)
    process = start_process(send_answer, module, function, argument, sender)
    # Else recv waits for ever on a child that was killed: this process would hold the pipe open.
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        answer = {"raised": "EOFError", "message": "it was killed"}
    process.join()
    return unpack_answer(module, answer)


def send_answer(module: str, function: str, argument: Any, sender: Connection) -> None:
    """Runs in the forked process."""
    sender.send(make_answer(module, function, argument))


def make_answer(module: str, function: str, argument: Any) -> Answer:
    """Calls the function; its answer, whatever becomes of it."""
    try:
        with keep_imports():
            call = getattr(import_module(module), function)
        return {"returned": call(argument)}
    except UserError as error:
        kind = "ConfigError" if isinstance(error, ConfigError) else "UserError"
        return {"raised": kind, "message": str(error)}
    except Exception as error:  # noqa: BLE001 - the last frame of this process
        name, number = type(error).__name__, getattr(error, "errno", None)
        return {"raised": name, "message": f"{name}: {error}", "errno": number}


def unpack_answer(module: str, answer: Answer) -> Any:
    """The returned value. Raises what the function raised."""
    if "raised" not in answer:
        return answer["returned"]
    if answer["raised"] in ERRORS:
        raise ERRORS[answer["raised"]](answer["message"])
    if answer.get("errno") == errno.ENOSPC:  # a full disk is one wherever it is met
        raise OSError(errno.ENOSPC, answer["message"])
    raise UserError(f"{module} failed: {answer['message']}")


def main() -> None:
    """The new interpreter: what the function prints goes to stderr, the answer to stdout.

    It ends there and then: a thread that a library has left running can abort a process as its
    interpreter is taken down ("terminate called without an active exception"), answer and all.
    """
    _, module, function = sys.argv
    # Libraries print; only the answer may stand on stdout, whose last line is read.
    argument, answer_stream = json.load(sys.stdin), sys.stdout
    sys.stdout = sys.stderr
    answer = make_answer(module, function, argument)
    answer_stream.write(f"\n{json.dumps(answer)}\n")
    answer_stream.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
